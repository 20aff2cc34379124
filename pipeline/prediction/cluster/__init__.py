"""A batch on several machines: Ray gives out the items, and each node runs the engine of one machine."""
