"""Several dispatchers, one that stops inside a tick, and one that dies at each step of it."""

from __future__ import annotations

import os
import signal
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import ClassVar

import psycopg

from scheduling.schedules.definitions import create_schedule
from tests.acceptance.processes import ManagedProcess
from tests.acceptance.serving import START_SECONDS
from tests.chaos.load import Traffic
from tests.chaos.plugin.crash_points import STEPS
from tests.chaos.row import Field, Row
from tests.chaos.stack import Shape, Stack
from tests.chaos.terms import Terms
from tests.chaos.variables import CRASH_VARIABLE

SCHEDULES = 10
MINUTE = timedelta(minutes=1)
CAPS = (1, 2, 2)
# Latest time after the minute by which a fire and its job's effects exist.
FIRE_GRACE = timedelta(seconds=10)
# Earlier in a minute its own fires may be pending, later those of the next one.
SURE_SECONDS = range(10, 50)
MOST_SECONDS = 240.0
EVE_SECONDS = 3.0
_HEARD = """
SELECT count(*) FROM scheduling_process_heartbeat
WHERE role = 'dispatcher' AND heartbeat_at > now() - interval '10 s'
"""
_BLOCKED = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
_NOW = "SELECT clock_timestamp()"
_DISABLE = "UPDATE scheduling_schedule SET is_enabled = false, next_fire_at = NULL"


class DispatcherRow(Row):
    """Row with schedules that fire each minute besides the load, to test I11."""

    traffic = Traffic(per_second=6.0, most_steps=2, step_seconds=0.1)
    dispatchers: ClassVar[int] = 2
    # Whether the fault occurs as the minute changes; otherwise it lasts for more than one.
    is_at_the_minute: ClassVar[bool] = True

    def __init__(self) -> None:
        self._minutes: dict[str, list[datetime]] = {}

    def inject(self, field: Field) -> list[float]:
        field.stack.until(
            lambda: field.view.number(_HEARD) >= self.dispatchers, within=START_SECONDS, what="all dispatchers report"
        )
        first_fires = self._make_schedules(field)
        if self.is_at_the_minute:
            self._await_last_seconds(field, max(first_fires.values()))
        field.note_fault()
        recoveries = self.disturb(field)
        until = self._await_minute(field, max(first_fires.values()))
        field.view.run(_DISABLE)
        self._minutes |= {label: minutes_between(first, until) for label, first in first_fires.items()}
        return recoveries

    @abstractmethod
    def disturb(self, field: Field) -> list[float]:
        """Inject the fault and return the recoveries."""

    def terms(self, stack: Stack) -> Terms:
        return replace(super().terms(stack), fires=self._minutes)

    def _make_schedules(self, field: Field) -> dict[str, datetime]:
        """Create schedules; return the minute of the first fire of each by label."""
        first_fires = {}
        for number in range(SCHEDULES):
            label = f"every minute {number} of {time.time():.0f}"
            values = {
                "name": label,
                "kind": "chaos_steps",
                "cron": "* * * * *",
                "payload": {"steps": 0, "label": label},
            }
            schedule = create_schedule(tenant=field.stack.tenants[1], values=values)
            assert schedule.next_fire_at is not None
            first_fires[label] = schedule.next_fire_at
        return first_fires

    def _await_last_seconds(self, field: Field, minute: datetime) -> None:
        """Wait until a few seconds before the schedules' first fire."""
        eve = minute - timedelta(seconds=field.rng.uniform(0.0, EVE_SECONDS))
        field.stack.until(
            lambda: field.view.number(_NOW) >= eve, within=MOST_SECONDS, what="a minute is about to begin"
        )

    def _await_minute(self, field: Field, minute: datetime) -> datetime:
        """Wait for a minute and its fires; return a moment well before the next one."""

        def moment() -> datetime | None:
            now: datetime = field.view.number(_NOW)
            return now if now >= minute + FIRE_GRACE and now.second in SURE_SECONDS else None

        found = field.stack.until(moment, within=MOST_SECONDS, what="a minute begins")
        assert found is not None
        return found


def minutes_between(first: datetime, until: datetime) -> list[datetime]:
    """Return the minutes from ``first`` on that began before ``until``."""
    return [first + number * MINUTE for number in range(int((until - first) / MINUTE) + 1)]


class TwoDispatchers(DispatcherRow):
    id, fault = "S1", "2 dispatchers, one killed and replaced as a minute begins"
    minutes = 4.0
    bound_seconds, measured = 15.0, "from the kill to the next start; caps, fires and ledger hold"
    shape = Shape(workers=1, slots=4, dispatchers=2, caps=CAPS)

    def disturb(self, field: Field) -> list[float]:
        killed_at = time.time()
        field.rng.choice(field.stack.dispatchers).kill()
        return [field.next_start(killed_at)]


class FiveDispatchers(TwoDispatchers):
    id, fault = "S2", "5 dispatchers, one killed and replaced as a minute begins"
    minutes = 4.0
    shape = Shape(workers=1, slots=4, dispatchers=5, caps=CAPS)
    dispatchers = 5


class LeaderStopped(DispatcherRow):
    id, fault = "S3", "the leader stopped by SIGSTOP inside its tick until its lock is lost, then continued"
    minutes = 4.0
    bound_seconds, measured = 10.0, "from the stop to the next start"
    shape = Shape(workers=1, slots=4, dispatchers=2, caps=CAPS)

    def disturb(self, field: Field) -> list[float]:
        leader, other = field.rng.sample(field.stack.dispatchers, 2)
        # So that this one is surely the first whose tick blocks.
        os.kill(other.pid, signal.SIGSTOP)
        try:
            stopped_at = self._stop_inside_tick(field, leader)
        finally:
            os.kill(other.pid, signal.SIGCONT)
        try:
            recovery = field.next_start(stopped_at)
            field.wait(2.0, 6.0)
        finally:
            os.kill(leader.pid, signal.SIGCONT)
        return [recovery]

    def _stop_inside_tick(self, field: Field, leader: ManagedProcess) -> float:
        """Stop the leader while its tick briefly waits for a lock; return the time."""
        while True:
            with psycopg.connect(field.stack.addresses.admin_url) as holder:
                holder.execute("SELECT FROM scheduling_pool_clock FOR UPDATE")
                field.stack.until(lambda: field.view.number(_BLOCKED), within=20, what="a tick waits for the lock")
                os.kill(leader.pid, signal.SIGSTOP)
                if field.view.number(_BLOCKED):
                    return time.time()
            os.kill(leader.pid, signal.SIGCONT)


class TickCrashed(DispatcherRow):
    id, fault = "S4", "a dispatcher that dies at each step of its tick, another beside it"
    minutes = 4.0
    bound_seconds, measured = 17.0, "from a crash to the start of the last job dispatched by then"
    shape = Shape(workers=1, slots=4, dispatchers=1, caps=CAPS)
    dispatchers = 1
    is_at_the_minute = False
    may_end = frozenset({"dispatcher"})
    seeds = 1

    def disturb(self, field: Field) -> list[float]:
        return [self._crash_at(field, step) for step in field.rng.sample(list(STEPS), len(STEPS))]

    def _crash_at(self, field: Field, step: str) -> float:
        """Return the seconds until nothing left by the crash waits."""
        doomed = field.stack.begin_dispatcher(**{CRASH_VARIABLE: f"{step}:{field.rng.randint(1, 4)}"})
        field.stack.until(lambda: not doomed.is_running, within=START_SECONDS, what=f"a dispatcher dies at {step!r}")
        died_at = time.time()
        left = field.view.unstarted()
        return field.resumed_after(left, died_at) if left else field.next_start(died_at)


ROWS: Sequence[type[Row]] = (TwoDispatchers, FiveDispatchers, LeaderStopped, TickCrashed)
