"""Circuit breakers: when a dependency of jobs fails, its jobs wait instead of failing one after another."""
