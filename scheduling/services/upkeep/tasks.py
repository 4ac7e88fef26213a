"""The platform's own upkeep, in the order in which the console lists it."""

from __future__ import annotations

from datetime import timedelta

from scheduling.services.partitions import maintain_partitions
from scheduling.services.upkeep.registry import Budget, Step, UpkeepTask

HOURLY, DAILY = timedelta(hours=1), timedelta(days=1)


def _make_partitions(budget: Budget) -> Step:
    del budget
    return Step({"partitions_made": len(maintain_partitions())})


TASKS = (
    UpkeepTask(
        "partitions",
        "Partitions",
        "Gives each of the coming days a partition in every history table, before its first row arrives.",
        HOURLY,
        _make_partitions,
    ),
)
