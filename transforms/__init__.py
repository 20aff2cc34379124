"""Image in, image out: readers and transforms. Trains nothing, writes no file, never imports ``pipeline``."""
