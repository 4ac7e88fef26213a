"""Server-sent events of jobs: in each process one thread reads the events for all its clients."""
