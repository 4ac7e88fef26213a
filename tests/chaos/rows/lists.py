"""Prefetch lists: jobs that travel in one message and are begun and settled one by one."""

from __future__ import annotations

import base64
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from scheduling.execution.message import NO_SLOT
from scheduling.worker.child_exit import ENDED_BEFORE
from tenants.tenancy.service import pause_tenant, resume_tenant
from tests.acceptance.proxy import Pair, Tap
from tests.chaos.load import Traffic
from tests.chaos.plugin.crash_points import TURN
from tests.chaos.row import Field, Row
from tests.chaos.rows.databases import CommitDropper
from tests.chaos.rows.messages import MessageCarrier, MessageRow, Treatment
from tests.chaos.rows.workers import BURNED, CRASHES
from tests.chaos.spans import ProxiedRow
from tests.chaos.stack import Shape
from tests.chaos.variables import CRASH_VARIABLE, LISTS_VARIABLE

LONG_LISTS = {"dispatcher": {LISTS_VARIABLE: "1"}}
# Seconds from each begin that was followed by no run to the job's next start.
_NEVER_RUN = """
SELECT extract(epoch FROM min(n.at) - s.at)::float8
FROM scheduling_jobevent s JOIN scheduling_jobevent r ON r.execution_id = s.execution_id
    JOIN scheduling_jobevent n ON n.job_id = s.job_id AND n.execution_id > s.execution_id
WHERE s.job_id = ANY (%s) AND s.name = 'execution.started' AND r.name = 'execution.returned'
    AND n.name = 'execution.started'
GROUP BY s.execution_id, s.at
"""
_RETURNED = """
SELECT count(*) FROM scheduling_jobevent
WHERE job_id = ANY (%s) AND name = 'execution.returned' AND data ->> 'cause' LIKE %s
"""
# Without those that have begun and whose child did not get its slot.
_BEGUN_TWICE = """
SELECT count(*) FROM (
    SELECT FROM scheduling_jobevent s WHERE job_id = ANY (%s) AND name = 'execution.started' AND NOT EXISTS (
        SELECT FROM scheduling_jobevent r WHERE r.execution_id = s.execution_id AND r.data ->> 'cause' = %s)
    GROUP BY job_id HAVING count(*) > 1
) AS job
"""


def submit_small(field: Field, tenant: int, count: int, **payload: object) -> list[UUID]:
    """Submit jobs of a few milliseconds at once."""
    return field.client.submit_bulk(field.tenants[tenant], "chaos_small", {"milliseconds": 3, **payload}, count)


def learn_costs(field: Field, tenant: int) -> None:
    """Run small jobs of a tenant, so that the next ones are predicted to be small and travel in lists."""
    field.ended(submit_small(field, tenant, 30), within=field.patience_seconds)


def check_unblamed(field: Field, ids: list[UUID]) -> None:
    if blamed := int(field.view.number(BURNED, [ids])):
        field.violations.append(f"{blamed} jobs were blamed for the death of their process")


def check_begun_once(field: Field, ids: list[UUID]) -> None:
    if twice := int(field.view.number(_BEGUN_TWICE, [ids, NO_SLOT])):
        field.violations.append(f"{twice} jobs were begun twice")


class KilledBetweenTurns(Row):
    id, fault = "W25", "each child dies when a list's job is settled and the next has begun, before that one runs"
    bound_seconds, measured = 15.0, "from each begin that was followed by no run to the job's next start"
    # The twelfth time that it goes on in a list.
    shape = Shape(workers=1, slots=2, environment={"worker": {CRASH_VARIABLE: f"{TURN}:12"}, **LONG_LISTS})
    JOBS, LEAST_DEATHS = 120, 3

    def inject(self, field: Field) -> list[float]:
        learn_costs(field, 2)
        ids: list[UUID] = []

        def submit_more() -> None:
            ids.extend(submit_small(field, 2, self.JOBS))
            field.ended(ids, within=field.patience_seconds)

        def recoveries() -> list[float]:
            return [float(seconds) for (seconds,) in field.view.rows(_NEVER_RUN, [ids])]

        field.await_effect(
            lambda: len(recoveries()) >= self.LEAST_DEATHS, "too few children died between two turns", submit_more
        )
        check_unblamed(field, ids)
        return recoveries()


class PoisonInList(Row):
    id, fault = "W26", "a job that kills its process, in the middle of a list"
    bound_seconds, measured = 30.0, "until it is quarantined after three crashes of its own; no other job is blamed"
    shape = Shape(workers=1, slots=2, environment=LONG_LISTS)

    def inject(self, field: Field) -> list[float]:
        learn_costs(field, 0)
        ids: list[UUID] = []
        recoveries: list[float] = []
        field.await_effect(
            lambda: field.view.number(_RETURNED, [ids, ENDED_BEFORE]),
            "no job waited behind it in a list",
            lambda: recoveries.append(self._poison(field, ids)),
        )
        return recoveries

    def _poison(self, field: Field, ids: list[UUID]) -> float:
        # It has the only place of its tenant, so that the next ones gather behind it.
        field.submit(0, "chaos_steps", {"steps": 1, "seconds": 1.5})
        ids.extend(submit_small(field, 0, 3))
        field.note_fault()
        (poison,) = submit_small(field, 0, 1, kills=True)
        ids.extend(submit_small(field, 0, 6))
        began_at = time.time()
        field.ended([poison], within=field.patience_seconds, state="quarantined")
        recovery = time.time() - began_at
        field.ended(ids, within=field.patience_seconds)
        check_unblamed(field, ids)
        if (crashes := int(field.view.number(CRASHES, [poison]))) != 3:
            field.violations.append(f"it crashed {crashes} times before it was quarantined")
        return recovery


class TakenBack(Row):
    id, fault = "T12", "a tenant is paused and resumed twenty times while its lists run"
    bound_seconds, measured = 10.0, "from the last resumption to the start of a job that waited; none is begun twice"
    shape = Shape(workers=1, slots=2, environment=LONG_LISTS)
    # Beside the jobs of other tenants its own take longer, and travel alone.
    traffic = None
    TIMES, JOBS = 20, 40

    def inject(self, field: Field) -> list[float]:
        learn_costs(field, 2)
        ids: list[UUID] = []
        for _ in range(self.TIMES):
            self._interrupt(field, ids)
        field.await_effect(
            lambda: field.view.number(_RETURNED, [ids, "the tenant was paused%"]),
            "nothing was taken back from a list",
            lambda: self._interrupt_again(field, ids),
        )
        recovery = field.next_start_of(self._waiting, self._resumed_at) if self._waiting else 0.0
        field.ended(ids, within=field.patience_seconds)
        check_begun_once(field, ids)
        return [recovery]

    def _interrupt_again(self, field: Field, ids: list[UUID]) -> None:
        """Wait until the prediction has followed the jobs' times and none waits, and interrupt new ones."""
        field.ended(ids, within=field.patience_seconds)
        learn_costs(field, 2)
        self._interrupt(field, ids)

    def _interrupt(self, field: Field, ids: list[UUID]) -> None:
        """Pause the tenant as its lists run, and resume it."""
        tenant = field.stack.tenants[2]
        ids.extend(submit_small(field, 2, self.JOBS))
        field.wait(0.0, 0.1)
        pause_tenant(tenant=tenant, reason="chaos")
        field.wait(0.1, 0.4)
        self._waiting = [job_id for job_id, state in field.view.states_of(ids).items() if state == "available"]
        self._resumed_at = time.time()
        resume_tenant(tenant=tenant)


class TurnDropper(CommitDropper):
    """Tap that drops responses to the statement that settles a list's job and begins the next."""

    TEXT = re.compile(rb"P.{4}([^\0]+)\0[^\0]+ AS begun_id", re.DOTALL)

    def __init__(self) -> None:
        super().__init__()
        # Names under which each connection has prepared it.
        self._names: dict[Pair, set[bytes]] = defaultdict(set)

    def is_meant(self, pair: Pair, data: bytes) -> bool:
        names = self._names[pair]
        names.update(self.TEXT.findall(data))
        return any(b"\0" + name + b"\0" in data for name in names)


class TurnUnanswered(ProxiedRow):
    id, fault = "P27", "the responses to a tenth of the statements that settle a list's job and begin the next dropped"
    shape = Shape(workers=1, slots=2, environment=LONG_LISTS)
    roles = ("worker",)
    PART, JOBS = 0.1, 150

    def tap(self) -> Tap:
        self.dropper = TurnDropper()
        return self.dropper

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        before = self.dropper.dropped
        self.dropper.begin(self.PART, field.rng)
        self._ids = submit_small(field, 2, self.JOBS)

        def submit_more() -> None:
            self._ids += submit_small(field, 2, self.JOBS)
            field.ended(self._ids, within=field.patience_seconds)

        yield
        field.ended(self._ids, within=field.patience_seconds)
        # On a busy machine small jobs are predicted to take longer, and travel alone until the prediction has followed
        # their times.
        field.await_effect(lambda: self.dropper.dropped > before, "no response was dropped", submit_more)
        self.dropper.end()

    def inject(self, field: Field) -> list[float]:
        learn_costs(field, 2)
        recoveries = super().inject(field)
        check_begun_once(field, self._ids)
        return recoveries


class ListsLost(MessageRow):
    id, fault = "M7", "half of the messages with several jobs never delivered"
    shape = Shape(workers=1, slots=3, environment=LONG_LISTS)
    traffic = Traffic(small_part=0.4)
    JOBS = 60

    class Lost(Treatment):
        def __init__(self, rng: random.Random) -> None:
            super().__init__(rng)
            self.lost = 0

        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            arguments = json.loads(base64.b64decode(json.loads(message)["body"]))[0]
            # The first for certain: a row's few seconds may have few lists.
            if len(arguments[0]) > 1 and (not self.lost or self.rng.random() < 0.5):
                self.lost += 1
                return []
            return [(0.0, message)]

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        learn_costs(field, 2)
        carrier.treatment = self._losing = self.Lost(field.rng)
        submit_small(field, 2, self.JOBS)
        return self._losing

    def await_effect(self, field: Field, has_passed: Callable[[], bool]) -> None:
        """Submit more small jobs until a list was lost: on a busy machine they may travel alone, as in P27."""

        def submit_more() -> None:
            ids = submit_small(field, 2, self.JOBS)
            field.stack.until(
                lambda: self._losing.lost or set(field.view.states_of(ids).values()) == {"completed"},
                within=field.patience_seconds,
                what="a list is lost, or all have completed",
            )

        field.await_effect(lambda: self._losing.lost, "no list was lost", submit_more)


ROWS = (KilledBetweenTurns, PoisonInList, TakenBack, TurnUnanswered, ListsLost)
