"""The Django project: settings, URLs, the Celery app, health probes, logging, and servers for development."""
