"""Workers whose clocks are wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.chaos.row import Field, Row
from tests.chaos.stack import Shape
from tests.chaos.variables import CLOCK_VARIABLE

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


ROWS = (WrongClocks,)
