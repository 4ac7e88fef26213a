"""Workers whose clocks are wrong, and a database whose clock is set."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.chaos.row import Field, Row
from tests.chaos.stack import Shape, Stack
from tests.chaos.variables import CLOCK_VARIABLE

# The system's package `libfaketime`.
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
# No job of a chaos run takes as long.
_LONG = "SELECT count(*) FROM scheduling_execution WHERE measured_us > 330000000"
_CRASHED = "SELECT count(*) FROM scheduling_jobevent WHERE name = 'execution.crashed'"


class WrongClocks(Row):
    id, fault = "C1", "the clocks of two workers 2 h ahead and 2 h behind"
    bound_seconds, measured = 5.0, "from the time for which a job was asked to its start; none early, none twice"
    shape = Shape(
        workers=2, slots=2, environment={"worker 0": {CLOCK_VARIABLE: "2"}, "worker 1": {CLOCK_VARIABLE: "-2"}}
    )

    def inject(self, field: Field) -> list[float]:
        crashed_before = int(field.view.number(_CRASHED))
        skews = [abs(float(skew)) for (skew,) in field.view.rows("SELECT clock_skew_seconds FROM scheduling_worker")]
        if not skews or min(skews) < 7_000:
            field.violations.append(f"the workers' clocks are not wrong: {skews}")
        asked = []
        for _ in range(6):
            run_at = datetime.now(UTC) + timedelta(seconds=field.rng.uniform(3.0, 12.0))
            request = field.client.submit(field.tenants[2], "chaos_steps", {"steps": 1, "seconds": 0.1}, run_at=run_at)
            asked.append((field.job_of(request), run_at.timestamp()))
        # Longer than a lease: nobody's may run out because of a clock.
        field.wait(12.0, 14.0)
        recoveries = [field.all_started([job_id], run_at) for job_id, run_at in asked]
        if crashed := int(field.view.number(_CRASHED)) - crashed_before:
            field.violations.append(f"{crashed} executions were declared dead in workers that live")
        return recoveries


class DatabaseClockSet(Row):
    id, fault = "C2", "the clock of PostgreSQL set 2 h ahead, and then 119 days, under jobs that run"
    bound_seconds, measured = 15.0, "from the step until a job submitted then begins"
    # What follows would live with the clock that it has set.
    is_shared = False
    STEPS = (timedelta(hours=2), timedelta(days=119))
    # It only rises: what is due at a time that was set would wait for as long if it were set back.
    ahead = timedelta()

    @classmethod
    def unfit(cls) -> str:
        return "" if FAKETIME.exists() else "libfaketime is not installed, by which PostgreSQL reads another time"

    def prepare(self, stack: Stack) -> None:
        stack.servers.stop_postgres(signal.SIGINT)
        stack.servers.fake_clock(FAKETIME)
        stack.servers.start_postgres()

    def inject(self, field: Field) -> list[float]:
        recoveries = []
        # Keys end by the clock of the database.
        field.view.run("UPDATE tenants_apikey SET expires_at = expires_at + interval '10 years'")
        for step in self.STEPS:
            running = [field.job_of(field.submit(tenant, "chaos_steps", {"steps": 2})) for tenant in range(3)]
            field.all_started(running, 0.0)
            self.ahead += step
            field.view.clock_steps.append(self.ahead)
            field.stack.servers.set_clock(self.ahead)
            since = float(field.view.number(_NOW))
            if since - time.time() < self.ahead.total_seconds() / 2:
                field.violations.append(f"the clock of PostgreSQL was not set: it is {since - time.time():.0f} s ahead")
            recoveries.append(field.fresh_start(since))
            field.ended(running, within=field.patience_seconds)
        if long := int(field.view.number(_LONG)):
            field.violations.append(f"{long} executions were charged more than ran")
        return recoveries


ROWS = (WrongClocks, DatabaseClockSet)
