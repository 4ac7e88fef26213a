"""Server-sent events: what happens, told to many clients by one reader a process."""
