"""`delay`: continues after some time; the run's slot is free meanwhile."""

from __future__ import annotations

from workloads.workflows.engine.state import Wait
from workloads.workflows.nodes.work import Place, Waits, Work


def prepare(place: Place) -> Work:
    """Prepare the time to wait."""
    seconds = float(place.config["seconds"])
    return Work(inputs={"seconds": seconds}, now=lambda: Waits(Wait.TIME, seconds))
