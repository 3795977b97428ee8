"""The digit classifier of `make demo`."""
