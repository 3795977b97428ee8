"""A model with one input and two outputs."""
