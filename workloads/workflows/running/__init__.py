"""A run on a worker: what the planner asks for is done, and kept at every safe point."""
