"""Wiring only: settings, URLs, the Celery app, health, logging, servers for development."""
