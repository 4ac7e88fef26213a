"""Circuit breakers of what jobs depend on."""
