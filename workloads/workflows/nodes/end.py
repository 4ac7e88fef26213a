"""`end`: the outputs of the run."""

from __future__ import annotations

from workloads.workflows.nodes.work import Made, Place, Work


def prepare(place: Place) -> Work:
    """Prepare the outputs that the definition names."""
    outputs = {name: place.reading.evaluate(value) for name, value in place.config.get("outputs", {}).items()}
    return Work(now=lambda: Made(outputs))
