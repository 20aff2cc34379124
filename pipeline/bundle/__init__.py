"""What a bundle is: its overrides, its segments, and a copy of it outside the package."""
