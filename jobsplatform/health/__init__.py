"""Whether the platform is alive and ready, and its numbers for Prometheus."""
