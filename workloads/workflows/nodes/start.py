"""`start`: the inputs of the run."""

from __future__ import annotations

from workloads.workflows.nodes.work import Made, Place, Work


def prepare(place: Place) -> Work:
    """Prepare the inputs, which were validated when the run was submitted."""
    return Work(now=lambda: Made(place.run.inputs))
