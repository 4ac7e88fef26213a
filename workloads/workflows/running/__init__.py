"""Execution of a workflow run on a worker: it does the planner's tasks and stores the state at each safe point."""
