"""The soak test: load and faults of many rows on one stack, and a look at what grows."""
