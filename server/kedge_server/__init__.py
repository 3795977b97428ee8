"""Serves bundles over gRPC. Never imports the exporter."""
