"""Scaling of a pool on this machine: how many workers its work needs, and starting and stopping them."""

from __future__ import annotations

import logging
import math
import platform
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from scheduling.exceptions import WorkerNotFoundError, WorkerNotRunningError
from scheduling.fleet.queries import find_running_workers
from scheduling.fleet.supervisor import STOP_SECONDS, Service, Watched
from scheduling.fleet.workers import drain_worker, resume_worker


@dataclass(frozen=True, slots=True)
class ScaleRule:
    """Rule that gives the number of workers for a pool, from ``least`` to ``most``.

    Each worker has ``slots`` slots. There are as many workers as ready work needs to end within ``target_seconds``; the
    number falls only after ``patience_seconds`` in which fewer were enough. Raise ValueError for impossible bounds.
    """

    least: int
    most: int
    slots: int
    target_seconds: float
    patience_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most or self.most < 1:
            raise ValueError(
                f"The minimum of {self.least} must lie between 0 and the maximum of {self.most}, which must be above 0."
            )
        if self.slots < 1 or self.target_seconds <= 0 or self.patience_seconds < 0:
            raise ValueError("Slots and the target must be above 0, and patience must not be negative.")

    def wanted(self, *, ready_seconds: float, in_flight: int) -> int:
        """Return the number of workers for ``ready_seconds`` of waiting slot time and ``in_flight`` messages."""
        by_work = math.ceil(ready_seconds / (self.slots * self.target_seconds))
        by_flight = math.ceil(in_flight / self.slots)
        return min(self.most, max(self.least, by_work, by_flight))


class ScaleDownDelay:
    """Delay before scaling down: the number to use is the greatest wanted number of the last ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        # Falling numbers, each with the last moment at which it was wanted.
        self._wanted: deque[tuple[int, float]] = deque()

    def settle(self, wanted: int, *, now: float) -> int:
        """Record the wanted number at ``now`` (seconds of a monotonic clock); return the number of workers to use."""
        while self._wanted and self._wanted[-1][0] <= wanted:
            self._wanted.pop()
        self._wanted.append((wanted, now))
        while now - self._wanted[0][1] > self._seconds:
            self._wanted.popleft()
        return self._wanted[0][0]


logger = logging.getLogger(__name__)

TOO_MANY = "the pool has less work"
WANTED_AGAIN = "the pool has more work again"


@dataclass(slots=True)
class FleetWorker:
    """Worker process that the fleet started.

    ``is_leaving`` is set when it was drained, or stopped before it registered.
    """

    watched: Watched
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """Id of a worker's row, and the number of its executions in flight."""

    worker_id: UUID
    in_hand: int


class Fleet:
    """Workers of one pool on this machine, which one thread starts and scales.

    ``service_of(n)`` returns the service of the n-th worker, whose process must exit when it is drained.
    """

    def __init__(self, service_of: Callable[[int], Service], *, pool_name: str) -> None:
        self._service_of = service_of
        self._pool_name = pool_name
        self._members: list[FleetWorker] = []
        self._count = 0

    @property
    def size(self) -> int:
        """Return the number of workers that are not leaving."""
        return sum(not member.is_leaving for member in self._members)

    def tend(self) -> None:
        """Restart workers whose process died, and forget leaving workers whose process has ended."""
        for member in self._members:
            if not member.is_leaving:
                member.watched.keep_running()
        self._members = [member for member in self._members if not (member.is_leaving and member.watched.has_ended)]

    def scale_to(self, wanted: int) -> None:
        """Start or drain workers until ``wanted`` are not leaving. Resume draining workers before new ones start."""
        if wanted == self.size:
            return
        standings = self._standings()
        while self.size < wanted:
            if not self._recall_one(standings):
                self._start_one()
        while self.size > wanted:
            self._send_one(standings)

    def stop(self) -> None:
        """Ask all workers to stop, wait, and kill those that do not stop in time."""
        for member in self._members:
            member.watched.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        for member in self._members:
            member.watched.wait_or_kill(until)

    def _standings(self) -> Mapping[int, WorkerLoad]:
        """Return the registered workers of this pool and machine by process id."""
        found = find_running_workers(pool_name=self._pool_name, hostname=platform.node()[:200])
        return {pid: WorkerLoad(worker_id, in_hand) for pid, worker_id, in_hand in found}

    def _start_one(self) -> None:
        self._count += 1
        member = FleetWorker(Watched(self._service_of(self._count)))
        self._members.append(member)
        member.watched.keep_running()

    def _recall_one(self, standings: Mapping[int, WorkerLoad]) -> bool:
        """Resume one draining worker; return False if there was none."""
        for member in self._members:
            standing = standings.get(member.watched.pid or 0)
            if not member.is_leaving or standing is None:
                continue
            try:
                resume_worker(worker_id=standing.worker_id, reason=WANTED_AGAIN)
            except (WorkerNotFoundError, WorkerNotRunningError):
                continue
            member.is_leaving = False
            return True
        return False

    def _send_one(self, standings: Mapping[int, WorkerLoad]) -> None:
        """Drain the worker with the fewest executions; of several, the one started last."""
        staying = [member for member in reversed(self._members) if not member.is_leaving]
        member = min(staying, key=lambda one: _in_hand(standings.get(one.watched.pid or 0)))
        member.is_leaving = True
        standing = standings.get(member.watched.pid or 0)
        if standing is None:
            # It has not registered, so it has no job.
            member.watched.ask_to_stop()
            return
        try:
            drain_worker(worker_id=standing.worker_id, reason=TOO_MANY)
        except (WorkerNotFoundError, WorkerNotRunningError):
            logger.info("fleet.worker_had_left", extra={"worker_id": str(standing.worker_id)})


def _in_hand(standing: WorkerLoad | None) -> int:
    return -1 if standing is None else standing.in_hand
