"""Random changes of frames, and of their label maps."""
