"""The connectors that come with the platform."""
