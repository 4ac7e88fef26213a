"""The processes of a worker for asynchronous kinds: each runs many executions at once in one event loop."""
