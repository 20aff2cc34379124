"""Grids, letterboxing and connected components."""
