"""From one item's files to its results."""
