"""Circuit breakers for the dependencies of jobs."""
