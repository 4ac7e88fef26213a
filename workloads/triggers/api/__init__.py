"""The REST API of webhook triggers."""
