"""A tenant's jobs in fair order of their keys: the last level of the simulated tree, in the place of a plain line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush

from scheduling.fairness.virtual_time import MILLI, corrected, rejoined, virtual_service


class _Key:
    """A user or an app of a tenant."""

    __slots__ = ("in_flight", "jobs", "vruntime")

    def __init__(self) -> None:
        self.jobs: deque[int] = deque()
        self.in_flight = 0
        self.vruntime = 0


class KeyedJobs:
    """Waits like a deque of jobs; what comes out first is the least served key's first job. Keys weigh the same."""

    def __init__(self, key_of: Sequence[int], charge: Callable[[int], int]) -> None:
        self._key_of = key_of
        self._charge = charge
        self._keys: dict[int, _Key] = {}
        # Rebuilt where an end changed a key that waits; keys are few beside jobs.
        self._heap: list[tuple[int, int, int, int]] = []
        self._virtual_time = 0
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def __getitem__(self, index: int) -> int:
        """The rank of the job that has waited longest; only index 0 is asked for."""
        return min(entry[2] for entry in self._heap)

    def append(self, job: int) -> None:
        number = self._key_of[job]
        key = self._keys.setdefault(number, _Key())
        key.jobs.append(job)
        self._waiting += 1
        if len(key.jobs) == 1:
            key.vruntime = rejoined(key.vruntime, self._virtual_time)
            heappush(self._heap, self._entry(number, key))

    def appendleft(self, job: int) -> None:
        number = self._key_of[job]
        key = self._keys[number]
        if not key.jobs:
            self.append(job)
            return
        key.jobs.appendleft(job)
        self._waiting += 1
        self._replace(number, key)

    def popleft(self) -> int:
        number = heappop(self._heap)[3]
        key = self._keys[number]
        job = key.jobs.popleft()
        self._waiting -= 1
        self._virtual_time = max(self._virtual_time, key.vruntime)
        key.vruntime += virtual_service(self._charge(job), MILLI)
        key.in_flight += 1
        if key.jobs:
            heappush(self._heap, self._entry(number, key))
        return job

    def occupy(self, job: int) -> None:
        """One of a key's jobs runs already, and was charged before."""
        self._keys.setdefault(self._key_of[job], _Key()).in_flight += 1

    def end(self, job: int, charged_us: int, measured_us: int) -> None:
        """One of a key's jobs gave its slot back."""
        number = self._key_of[job]
        key = self._keys[number]
        key.in_flight -= 1
        key.vruntime = corrected(key.vruntime, predicted_us=charged_us, measured_us=measured_us, weight_milli=MILLI)
        if key.jobs:
            self._replace(number, key)

    def _entry(self, number: int, key: _Key) -> tuple[int, int, int, int]:
        return (key.vruntime, key.in_flight, key.jobs[0], number)

    def _replace(self, number: int, key: _Key) -> None:
        self._heap = [entry for entry in self._heap if entry[3] != number]
        self._heap.append(self._entry(number, key))
        heapify(self._heap)
