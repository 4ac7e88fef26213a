"""The clock is wound when the worker loads its apps."""

from __future__ import annotations

from django.apps import AppConfig


class ClockedConfig(AppConfig):
    """Wraps what takes part in one document; a product knows nothing of it."""

    name = "benchmarks.clocked"
    label = "clocked"

    def ready(self) -> None:
        """Begin to clock, if this is a run that asks for it."""
        from benchmarks.clocked.clock import wind

        wind()
