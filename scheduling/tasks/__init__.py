"""Celery's tasks: what a message may ask of a worker."""

from scheduling.tasks import execute, upkeep

__all__ = ["execute", "upkeep"]
