"""Load states of the platform and of its pools, measured by the dispatchers."""
