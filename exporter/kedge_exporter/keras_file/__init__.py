"""What may stand in a `.keras` file, by subject. Nothing here imports Keras or runs anything from the file."""
