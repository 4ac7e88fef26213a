"""Job logs: captured in a worker, stored as lines of limited size, read in pages."""
