"""Side-by-side runs: `make benchmark` for exports, `make serving-benchmark` for the server."""
