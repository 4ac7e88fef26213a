"""`template`: a text made of variables."""

from __future__ import annotations

from workloads.workflows.nodes.work import Made, Place, Work


def prepare(place: Place) -> Work:
    """Rendering is bounded in output, steps and time, so it is done at once."""
    return Work(now=lambda: Made({"text": place.reading.render(place.config["template"])}))
