"""Notes that people leave on jobs."""
