"""Kit types for routing strategies: functions that choose a queue for each job that a rule balances over several.

A package offers a strategy by an entry point of the group ``jobsplatform.routing_strategies``: its name is the name by
which rules choose it, and its value is the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class ReadOnlyObject(Mapping[str, Any]):
    """A JSON object that cannot be changed; its lists are tuples, and its objects are of this class too."""

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    def __getitem__(self, name: str) -> Any:
        return _read_only(self._members[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _read_only(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ReadOnlyObject(value)
    return tuple(_read_only(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class RoutedJob:
    """A job to be routed. ``tier`` is a slug; ``home_region`` is the tenant's, empty without one."""

    kind: str
    tier: str
    home_region: str
    payload: Mapping[str, Any]
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CandidateQueue:
    """One of the queues that the rule names and the job may go to.

    ``waiting_seconds`` is the predicted slot time of the work that waits in its pool, at most a second old, with the
    jobs that this process has sent to the queue since. ``live_slots`` are the slots of live workers that read it.
    ``resource_class`` is that of its pool: ``cpu`` or ``io``. ``distance`` is 0 in the tenant's home region, and grows.
    """

    queue: str
    pool: str
    region: str = ""
    resource_class: str = "cpu"
    weight: int = 1
    waiting_seconds: float = 0.0
    live_slots: int = 0
    distance: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen queue and the reason, one line of plain text that all who may see the job can read.

    A reason is cut after 200 characters.
    """

    queue: str
    reason: str = ""


# A pure function: the same arguments give the same answer, and it reads and changes nothing else.
type Choose = Callable[[RoutedJob, Sequence[CandidateQueue]], Choice | str]
