"""`condition`: chooses the first case that holds."""

from __future__ import annotations

from workloads.workflows.engine.conditions import choose_case
from workloads.workflows.nodes.work import Made, Place, Work


def prepare(place: Place) -> Work:
    """Prepare the choice; the chosen case is the branch, and an output."""

    def choose() -> Made:
        case = choose_case(place.config, place.reading)
        return Made({"case": case}, case=case)

    return Work(now=choose)
