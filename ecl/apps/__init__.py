"""Applications of the library: what the command line runs."""
