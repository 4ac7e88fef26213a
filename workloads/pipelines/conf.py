"""The settings of pipelines, read at the moment of use."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings


def threads() -> int:
    """How many entities of a run are worked on at once, at most."""
    return int(settings.PIPELINE_THREADS)


def kept_for() -> timedelta:
    """How long an ended run is kept."""
    return timedelta(days=int(settings.PIPELINE_RUN_DAYS))
