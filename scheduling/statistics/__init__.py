"""Statistics: gauges of the present load, and rollups of ended executions by minute and hour."""
