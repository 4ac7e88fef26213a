"""Celery's tasks: what a message may ask of a worker."""

from scheduling.tasks import canary, execute, upkeep

__all__ = ["canary", "execute", "upkeep"]
