"""The records of a batch, and their tables."""
