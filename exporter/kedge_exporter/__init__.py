"""Makes and proves bundles. Never imports the server."""
