"""The wire contracts, generated from proto/ by scripts/protos. Never edited by hand."""
