"""Access to the platform's Celery application, for all code that publishes messages or runs workers."""

from __future__ import annotations

from collections.abc import Callable

from celery import Celery
from celery.app import app_or_default

# Returns the app that the process has made its default one.
celery_app: Callable[[], Celery] = app_or_default


def app_name() -> str:
    """Return the app's name, by which Celery's own command line finds it."""
    name: str = celery_app().main
    return name
