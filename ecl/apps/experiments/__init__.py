"""Train several methods with several seeds, and compare their results."""
