"""Label maps: values, superpixels, soft labels."""
