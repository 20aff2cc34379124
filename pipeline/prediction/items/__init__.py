"""One item from its file to its results."""
