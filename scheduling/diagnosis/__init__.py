"""Self-diagnosis: checks of the platform's operation."""
