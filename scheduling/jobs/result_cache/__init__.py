"""Results that are reused for equal jobs of the same tenant."""
