"""Overview, the first page of the console."""
