"""Server-sent events of jobs: one reader of a process serves many clients."""
