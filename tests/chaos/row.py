"""Row of the fault table: the fault of a stack under load, and the measurement of its recovery."""

from __future__ import annotations

import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from tests.chaos.client import Client
from tests.chaos.history import ACCEPTED, Request
from tests.chaos.load import Traffic
from tests.chaos.stack import NotInTimeError, Shape, Stack
from tests.chaos.terms import Terms
from tests.chaos.variables import FACTOR_VARIABLE
from tests.chaos.view import Running, View

# Wait for a recovery this much longer than its bound, so that a late one is reported with its time.
PATIENCE = 4.0
LEAST_PATIENCE_SECONDS = 60.0
INCONCLUSIVE = "the row is inconclusive"


def bound_factor() -> float:
    """Return the factor of all bounds."""
    return float(os.environ.get(FACTOR_VARIABLE) or 1)


@dataclass(slots=True)
class Field:
    """Environment of a fault: the stack, its clients, and the random generator of the seed."""

    stack: Stack
    rng: random.Random
    bound_seconds: float
    least_patience_seconds: float = LEAST_PATIENCE_SECONDS
    # Violations found by the row itself, besides the checks.
    violations: list[str] = field(default_factory=list)
    # When its fault began, or earlier: the row began then, or its first wait of a random time ended.
    fault_at: float | None = None

    @property
    def client(self) -> Client:
        assert self.stack.client is not None
        return self.stack.client

    @property
    def view(self) -> View:
        return self.stack.view

    @property
    def tenants(self) -> list[UUID]:
        return [tenant.pk for tenant in self.stack.tenants]

    @property
    def patience_seconds(self) -> float:
        """Return the longest wait for a recovery."""
        return max(PATIENCE * self.bound_seconds * bound_factor(), self.least_patience_seconds)

    def wait(self, least: float, most: float) -> None:
        """Wait for a random time, in which dead processes are replaced."""
        until = time.monotonic() + self.rng.uniform(least, most)
        while time.monotonic() < until:
            if self.stack.is_kept and self.stack.servers.is_postgres_running:
                self.stack.keep()
            time.sleep(min(0.1, max(0.0, until - time.monotonic())))
        if not least:
            self.note_fault()

    def await_effect(self, has_struck: Callable[[], object], missing: str, again: Callable[[], object]) -> None:
        """Repeat ``again`` until the fault has struck; if it has not after the longest wait, report ``missing``."""
        until = time.monotonic() + self.patience_seconds
        while not has_struck():
            if time.monotonic() >= until:
                self.violations.append(f"{missing}: {INCONCLUSIVE}")
                return
            again()

    def note_fault(self) -> None:
        """Record that the fault begins now, unless it has begun."""
        self.fault_at = self.fault_at or time.time()

    def submit(self, tenant: int, kind: str, payload: dict[str, object]) -> Request:
        """Submit one job, which must be accepted now."""
        request = self.client.submit(self.tenants[tenant], kind, payload)
        if not request.job_ids:
            raise AssertionError(f"A job was not accepted: {request.replies[-1]}.")
        return request

    def job_of(self, request: Request) -> UUID:
        """Return the job of a request."""
        return next(iter(request.job_ids))

    def next_start(self, since: float) -> float:
        """Return the seconds from a moment to the next start of any job."""
        found = self.stack.until(
            lambda: self.view.first_start_after(since), within=self.patience_seconds, what="something begins again"
        )
        return float(found or 0) - since

    def next_start_of(self, job_ids: Sequence[UUID], since: float) -> float:
        """Return the seconds from a moment to the first later start of one of these jobs."""
        found = self.stack.until(
            lambda: self.view.starts_after(since, job_ids), within=self.patience_seconds, what="one of them begins"
        )
        return min((found or {}).values(), default=since) - since

    def fresh_start(self, since: float) -> float:
        """Return the seconds from a moment until a job submitted after it has been accepted and has begun."""
        request = self.client.prepare(self.tenants[2], "chaos_steps", {"steps": 1})
        self.stack.until(
            lambda: self.client.send(request).status in ACCEPTED, within=self.patience_seconds, what="a job is accepted"
        )
        return self.all_started([self.job_of(request)], since)

    def all_started(self, job_ids: Sequence[UUID], since: float) -> float:
        """Return the seconds from a moment until all of these jobs have begun after it."""
        return self._last_of(job_ids, lambda: self.view.starts_after(since, job_ids)) - since

    def restarted_after(self, lost: Sequence[Running], since: float) -> float:
        """Return the seconds from a moment until all jobs in lost processes have begun again, at least 0.

        Jobs that ended between the query and the loss do not begin again.
        """

        def look() -> dict[UUID, float]:
            return dict.fromkeys(self.view.settled(lost), since) | self.view.restarted_after(lost)

        return max(0.0, self._last_of([job.job_id for job in lost], look) - since)

    def resumed_after(self, waiting: Mapping[UUID, UUID], since: float) -> float:
        """Return the seconds from a moment until each of these executions, by job, or a later one has begun; at least
        0.
        """
        return max(0.0, self._last_of(waiting, lambda: self.view.resumed_after(waiting)) - since)

    def _last_of(self, job_ids: Collection[UUID], look: Callable[[], Mapping[UUID, float]]) -> float:
        wanted = set(job_ids)

        def starts() -> Mapping[UUID, float]:
            found = look()
            return found if found.keys() >= wanted else {}

        try:
            found = self.stack.until(starts, within=self.patience_seconds, what=f"{len(wanted)} jobs begin again")
        except NotInTimeError:
            states = self.view.states_of(list(wanted - look().keys()))
            raise NotInTimeError(f"Not begun again within {self.patience_seconds:.0f} s: {states}.") from None
        return max(found.values())

    def ended(self, job_ids: Sequence[UUID], *, within: float, state: str = "completed") -> None:
        """Return once all of these jobs are in a state."""
        self.stack.until(
            lambda: set(self.view.states_of(job_ids).values()) == {state},
            within=within,
            what=f"all are {state}: {set(self.view.states_of(job_ids).values())}",
        )


class Row(ABC):
    """Fault. One instance serves all seeds of a run, on one stack, one after another."""

    id: ClassVar[str]
    fault: ClassVar[str]
    # Bound of a recovery, and the two moments between which it is measured.
    bound_seconds: ClassVar[float]
    measured: ClassVar[str]
    shape: ClassVar[Shape] = Shape()
    # None: only the row itself submits jobs.
    traffic: ClassVar[Traffic | None] = Traffic()
    # Default number of seeds: one if a run takes minutes.
    seeds: ClassVar[int] = 3
    # Rough duration of all its seeds: the longest are started first.
    minutes: ClassVar[float] = 1.5
    # Whether other rows would disturb its measurements.
    is_alone: ClassVar[bool] = False
    # Between the end of the load and the last job's end.
    drain_seconds: ClassVar[float] = 120.0
    # Whether jobs are submitted and pages are probed besides the load.
    is_watched: ClassVar[bool] = True
    # Whether it can run on a stack that other rows share; otherwise its class states why.
    is_shared: ClassVar[bool] = True
    # Whether it cancels jobs.
    may_cancel: ClassVar[bool] = False
    # Roles whose processes may exit, to be restarted by their supervisor.
    may_end: ClassVar[frozenset[str]] = frozenset()

    def prepare(self, stack: Stack) -> None:  # noqa: B027 - most rows need nothing
        """Insert proxies between the servers and the processes, before the latter start."""

    @abstractmethod
    def inject(self, field: Field) -> list[float]:
        """Inject the fault at a moment drawn from ``field.rng``, end it, and return the recoveries in seconds."""

    def terms(self, stack: Stack) -> Terms:
        """Return the terms of the checks."""
        return Terms(caps=stack.caps, may_cancel=self.may_cancel, may_end=self.may_end, factor=bound_factor())

    @classmethod
    def unfit(cls) -> str:
        """Return why it cannot run here, or an empty text."""
        return ""

    def tear_down(self) -> None:  # noqa: B027 - most rows need nothing
        """Undo `prepare`, if it was called."""
