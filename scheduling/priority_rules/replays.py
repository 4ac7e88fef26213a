"""Replay of the starts of a line: which job takes which start when rules move jobs.

The starts stay where they were, since rules do not change the order between tenants.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from scheduling.priority_rules.rules import LINE_JOBS


class PastStart(NamedTuple):
    """A job that started: its rank, since when it waited, when it started, and by how much a rule moves it, in µs."""

    rank: int
    available_us: int
    dispatched_us: int
    offset_us: int


def replay_line(line: Sequence[PastStart], *, is_moved: bool) -> list[int]:
    """Return when each job of a line starts, in microseconds, without or with its moves."""
    arrivals = sorted(range(len(line)), key=lambda n: line[n].available_us)
    waiting: list[tuple[int, int, int]] = []
    starts = [0] * len(line)
    arrived = 0
    for at in sorted(job.dispatched_us for job in line):
        while arrived < len(arrivals) and line[arrivals[arrived]].available_us <= at:
            number = arrivals[arrived]
            insort(waiting, (line[number].rank, number, line[number].rank - line[number].offset_us))
            arrived += 1
        chosen = min(islice(waiting, LINE_JOBS), key=itemgetter(2)) if is_moved else waiting[0]
        waiting.remove(chosen)
        starts[chosen[1]] = at
    return starts
