"""Workers with wrong clocks, and a database whose clock is set forward, back, and across a clock change."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from scheduling.consistency.verification import verify
from scheduling.schedules.definitions import create_schedule
from tests.chaos.row import Field, Row
from tests.chaos.stack import NotInTimeError, Shape, Stack
from tests.chaos.variables import CLOCK_VARIABLE

# The system's package `libfaketime`.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
# Longer than any job of a chaos run.
_LONG = "SELECT count(*) FROM scheduling_execution WHERE measured_us > 330000000"
# In C4 no job takes a tenth of this.
_LONG_OR_NEGATIVE = "SELECT count(*) FROM scheduling_execution WHERE measured_us > 30000000 OR measured_us < 0"
# Keys expire by the clock of the database.
_PROLONG_KEYS = "UPDATE tenants_apikey SET expires_at = expires_at + interval '10 years'"
_DISABLE = "UPDATE scheduling_schedule SET is_enabled = false, next_fire_at = NULL"
_FIRES = """
SELECT s.name, f.fire_time, f.outcome, f.job_id, extract(epoch FROM f.fired_at)::float8
FROM scheduling_schedulefire f JOIN scheduling_schedule s ON s.id = f.schedule_id
WHERE s.name LIKE %s ORDER BY f.fire_time
"""
_CRASHED = "SELECT count(*) FROM scheduling_jobevent WHERE name = 'execution.crashed' AND tenant_id = ANY (%s)"
_SKEWS = """
SELECT abs(w.clock_skew_seconds)::float8 FROM scheduling_worker w JOIN scheduling_workerpool p ON p.id = w.pool_id
WHERE w.status = 'online' AND p.name = 'default'
"""
ZONE = ZoneInfo("Europe/Berlin")
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
# Time before the gap at which the schedules are created, and duration of the dispatchers' absence.
EVE, AWAY = timedelta(seconds=90), timedelta(hours=2, minutes=4)
STATE_SECONDS = 30.0
SUBMITTED, MISSED = "submitted", "skipped_missed"
# Times with their outcomes.
type Fires = Sequence[tuple[datetime, str]]
_AT_HALF_PAST_TWO, _EACH_QUARTER = {"cron": "30 2 * * *"}, {"cron": "*/15 * * * *"}
_QUARTERS = [number * QUARTER for number in range(9)]
# Schedules with the times after the start of the gap that they must have, and the outcome of each.
SCHEDULES: Sequence[tuple[str, Mapping[str, str], Sequence[tuple[timedelta, str]]]] = (
    ("half past two", _AT_HALF_PAST_TWO | {"dst_policy": "standard"}, [(timedelta(), SUBMITTED)]),
    ("half past two or not at all", _AT_HALF_PAST_TWO | {"dst_policy": "skip"}, []),
    ("each quarter", _EACH_QUARTER | {"catch_up_policy": "all"}, [(after, SUBMITTED) for after in _QUARTERS]),
    (
        "the last quarter",
        _EACH_QUARTER | {"catch_up_policy": "latest"},
        [*((after, MISSED) for after in _QUARTERS[:-1]), (_QUARTERS[-1], SUBMITTED)],
    ),
    ("no quarter", _EACH_QUARTER | {"catch_up_policy": "none"}, [(after, MISSED) for after in _QUARTERS]),
)


class WrongClocks(Row):
    id, fault = "C1", "the clocks of two workers 2 h ahead and 2 h behind"
    bound_seconds, measured = 5.0, "from the requested time of a job to its start; none early, none twice"
    shape = Shape(
        workers=2, slots=2, environment={"worker 0": {CLOCK_VARIABLE: "2"}, "worker 1": {CLOCK_VARIABLE: "-2"}}
    )

    def inject(self, field: Field) -> list[float]:
        crashed_before = int(field.view.number(_CRASHED, [field.tenants]))
        skews = [skew for (skew,) in field.view.rows(_SKEWS)]
        if not skews or min(skews) < 7_000:
            field.violations.append(f"the workers' clocks are not wrong: {skews}")
        asked = []
        for _ in range(6):
            run_at = datetime.now(UTC) + timedelta(seconds=field.rng.uniform(3.0, 12.0))
            request = field.client.submit(field.tenants[2], "chaos_steps", {"steps": 1, "seconds": 0.1}, run_at=run_at)
            asked.append((field.job_of(request), run_at.timestamp()))
        # Longer than a lease: none may expire because of a clock.
        field.wait(12.0, 14.0)
        recoveries = [field.all_started([job_id], run_at) for job_id, run_at in asked]
        if crashed := int(field.view.number(_CRASHED, [field.tenants])) - crashed_before:
            field.violations.append(f"{crashed} executions were declared dead in live workers")
        return recoveries


class SetClockRow(Row):
    """Row that sets the clock of PostgreSQL."""

    bound_seconds, measured = 15.0, "from the step until a job submitted then begins"
    # Later rows would run with the clock that it has set.
    is_shared = False

    def __init__(self) -> None:
        # All seeds share a database: each starts at the clock of the previous one.
        self.ahead = timedelta()

    @classmethod
    def unfit(cls) -> str:
        return "" if FAKETIME.exists() else "libfaketime is not installed, by which PostgreSQL reads another time"

    def prepare(self, stack: Stack) -> None:
        stack.servers.stop_postgres(signal.SIGINT)
        stack.servers.fake_clock(FAKETIME)
        stack.servers.start_postgres()

    def step(self, field: Field, step: timedelta) -> float:
        """Set the clock forward or back; return its new time."""
        self.ahead += step
        field.view.note_step(self.ahead)
        field.stack.servers.set_clock(self.ahead)
        field.view.note_time()
        since = float(field.view.number(_NOW))
        off = since - time.time() - self.ahead.total_seconds()
        if abs(off) > abs(step.total_seconds()) / 2:
            field.violations.append(f"the clock of PostgreSQL was not set: it is {off:.0f} s off")
        return since


class DatabaseClockSet(SetClockRow):
    id, fault = "C2", "the clock of PostgreSQL set 2 h ahead, and then 119 days, while jobs run"
    STEPS = (timedelta(hours=2), timedelta(days=119))

    def inject(self, field: Field) -> list[float]:
        recoveries = []
        field.view.run(_PROLONG_KEYS)
        for step in self.STEPS:
            running = [field.job_of(field.submit(tenant, "chaos_steps", {"steps": 2})) for tenant in range(3)]
            field.all_started(running, 0.0)
            recoveries.append(field.fresh_start(self.step(field, step)))
            field.ended(running, within=field.patience_seconds)
        if long := int(field.view.number(_LONG)):
            field.violations.append(f"{long} executions were charged more than measured")
        return recoveries


class ClockChangeMissed(SetClockRow):
    id, fault = "C3", "the clock of PostgreSQL set past the beginning of summer time while no dispatcher runs"
    bound_seconds = 45.0
    measured = "from the dispatchers' return until the last missed fire is recorded, and a job submitted then begins"
    minutes = 3.0
    shape = Shape(dispatchers=2)

    def inject(self, field: Field) -> list[float]:
        field.view.run(_PROLONG_KEYS)
        now = datetime.fromtimestamp(field.view.number(_NOW), UTC)
        gap = next_gap(now + timedelta(hours=1))
        eve = timedelta(seconds=round((gap - EVE - now).total_seconds()))
        field.fresh_start(self.step(field, eve))
        wanted = self._make_schedules(field, gap)
        field.stack.is_kept = False
        for dispatcher in field.stack.dispatchers:
            dispatcher.kill()
        if field.view.number(_NOW) >= gap.timestamp():
            field.violations.append("a dispatcher was running when the clocks changed: the row is inconclusive")
        since = self.step(field, AWAY)
        field.stack.is_kept = True
        recoveries = [self._await_fires(field, gap, wanted) - since, field.fresh_start(since)]
        # No further fires may follow.
        field.wait(2.0, 4.0)
        self._judge(field, gap, wanted)
        field.view.run(_DISABLE)
        return recoveries

    def _make_schedules(self, field: Field, gap: datetime) -> dict[str, Fires]:
        """Create schedules across the gap; return the required outcomes by name."""
        wanted: dict[str, Fires] = {}
        for name, values, fires in SCHEDULES:
            label = f"{name} of {gap.year}"
            payload = {"steps": 0, "label": label}
            job = {"name": label, "kind": "chaos_steps", "payload": payload}
            create_schedule(tenant=field.stack.tenants[1], values={**job, "timezone": ZONE.key, **values})
            wanted[label] = [(gap + after, outcome) for after, outcome in fires]
        return wanted

    def _await_fires(self, field: Field, gap: datetime, wanted: Mapping[str, Fires]) -> float:
        """Return when the last of the required times was recorded; the present time if they are late."""
        most = sum(map(len, wanted.values()))

        def last() -> float | None:
            rows = field.view.rows(_FIRES, [f"% of {gap.year}"])
            return max(row[-1] for row in rows) if len(rows) >= most else None

        try:
            found = field.stack.until(last, within=field.patience_seconds, what=f"{most} times are recorded")
        except NotInTimeError:
            found = None
        return found or float(field.view.number(_NOW))

    def _judge(self, field: Field, gap: datetime, wanted: Mapping[str, Fires]) -> None:
        found: dict[str, list[tuple[datetime, str]]] = {name: [] for name in wanted}
        jobs = []
        for name, fire_time, outcome, job_id, _ in field.view.rows(_FIRES, [f"% of {gap.year}"]):
            found[name].append((fire_time.astimezone(UTC), outcome))
            jobs += [job_id] if job_id is not None else []
        for name in wanted:
            if found[name] != list(wanted[name]):
                fires = [f"{at:%H:%M} {outcome}" for at, outcome in found[name]]
                field.violations.append(f"I11 fires: {name!r} fired differently than required: {fires}")
        submitted = sum(outcome == SUBMITTED for fires in wanted.values() for _, outcome in fires)
        if len(set(jobs)) != submitted:
            field.violations.append(f"I11 fires: {len(set(jobs))} jobs were submitted for {submitted} times")
        field.ended(jobs, within=field.patience_seconds)


class DatabaseClockSetBack(SetClockRow):
    id, fault = "C4", "the clock of PostgreSQL set back by 60 s, and then by 5 s, while jobs run"
    minutes = 4.0
    STEPS = (timedelta(seconds=60), timedelta(seconds=5))

    def inject(self, field: Field) -> list[float]:
        crashed_before = int(field.view.number(_CRASHED, [field.tenants]))
        recoveries = [self._set_back(field, step) for step in self.STEPS]
        # Longer than a lease, none of which may expire because of a clock.
        field.wait(12.0, 14.0)
        if crashed := int(field.view.number(_CRASHED, [field.tenants])) - crashed_before:
            field.violations.append(f"{crashed} executions were declared dead in live workers")
        if wrong := int(field.view.number(_LONG_OR_NEGATIVE)):
            field.violations.append(f"{wrong} executions were charged differently than measured")
        field.violations += self._faults_of_state(field)
        return recoveries

    def _set_back(self, field: Field, step: timedelta) -> float:
        """Set the clock back under jobs that have begun and have not ended."""
        payload: dict[str, object] = {"steps": 12, "seconds": 0.5}
        running = [field.job_of(field.submit(tenant, "chaos_steps", payload)) for tenant in range(3)]
        field.all_started(running, 0.0)
        if "executing" not in field.view.states_of(running).values():
            field.violations.append("no job ran when the clock was set: the row is inconclusive")
        recovery = field.fresh_start(self.step(field, -step))
        field.view.note_time()
        field.ended(running, within=field.patience_seconds)
        return recovery

    def _faults_of_state(self, field: Field) -> list[str]:
        """Return the persistent findings of `verify`."""
        try:
            field.stack.until(lambda: verify().is_clean, within=STATE_SECONDS, what="the state is consistent")
        except NotInTimeError:
            return [f"state: {finding}" for finding in verify().findings.values()]
        return []


def next_gap(after: datetime) -> datetime:
    """Return the next moment, at a full hour, at which the zone's clocks are set forward."""
    hour = after.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while _offset(hour) >= _offset(hour + HOUR):
        hour += HOUR
    return hour + HOUR


def _offset(at: datetime) -> timedelta:
    return at.astimezone(ZONE).utcoffset() or timedelta()


ROWS = (WrongClocks, DatabaseClockSet, ClockChangeMissed, DatabaseClockSetBack)
