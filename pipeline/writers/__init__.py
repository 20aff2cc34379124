"""What leaves the pipeline as files: each writer takes a path and its data and leaves the file whole, or
absent."""
