"""Statistics: rollups, gauges and throughput by minute and hour."""
