"""Results that answer equal jobs of the same tenant."""
