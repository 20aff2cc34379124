"""Handing a model on: what a thing is, exports to other formats, a folder to publish."""
