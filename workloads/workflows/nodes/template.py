"""`template`: a text made of variables."""

from __future__ import annotations

from workloads.workflows.nodes.work import Made, Place, Work


def prepare(place: Place) -> Work:
    """Prepare the rendering, which is done at once: its output, steps and time are bounded."""
    return Work(now=lambda: Made({"text": place.reading.render(place.config["template"])}))
