"""The output folder of a batch: its lock, its results, its tables."""
