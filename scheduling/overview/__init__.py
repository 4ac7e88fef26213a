"""First page of the console."""
