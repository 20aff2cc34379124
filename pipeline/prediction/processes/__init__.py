"""Worker processes, and the network that they share."""
