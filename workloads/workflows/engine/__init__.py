"""Planning of a run: ready nodes, effects of results, and the run's state. Pure."""
