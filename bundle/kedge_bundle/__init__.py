"""What a bundle is and how to run one. Imports neither the exporter nor the server."""

__version__ = "0.1.0"
