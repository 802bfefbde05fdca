"""Applications of the command line."""
