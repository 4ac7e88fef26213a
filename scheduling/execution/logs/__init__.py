"""Job logs: captured in a worker, stored in bounded lines, read in pages."""
