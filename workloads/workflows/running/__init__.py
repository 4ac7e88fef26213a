"""Execution of a run on a worker: runs the planner's tasks and stores the state at every safe point."""
