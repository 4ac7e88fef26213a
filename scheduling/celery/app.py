"""Access to the platform's Celery application, for all code that publishes messages or runs workers."""

from __future__ import annotations

from celery import Celery
from celery.app import app_or_default


def celery_app() -> Celery:
    """Return Celery's default application of this process."""
    return app_or_default()


def app_name() -> str:
    """Return the app's name, by which Celery's own command line finds it."""
    name: str = celery_app().main
    return name
