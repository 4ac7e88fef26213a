"""Self-diagnosis: what must hold for the platform to work."""
