"""Processes of coroutines that die with many waiting jobs."""

from __future__ import annotations

import os
import signal
import time
from uuid import UUID

from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.rows.workers import BURNED
from tests.chaos.stack import Shape

# All of them have begun before the first ends.
WAITING: dict[str, object] = {"seconds": 25}
JOBS = 100
_BEGUN_ELSEWHERE = """
SELECT count(*) FROM scheduling_job
WHERE id = ANY (%s) AND state = 'executing' AND (checkpoint ->> 'pid')::int <> %s
"""
_OUTCOMES = "SELECT DISTINCT outcome FROM scheduling_execution WHERE job_id = ANY (%s) ORDER BY 1"


class CoroutinesKilled(Row):
    id, fault = "W27", "kill -9 of a process with 200 waiting coroutines of two tenants"
    bound_seconds, measured = 15.0, "from the kill until all of them have begun again; no attempt is counted"
    shape = Shape(workers=1, slots=2, caps=(JOBS + 2, JOBS + 2, 3), io_slots=2 * JOBS + 10)
    traffic = Traffic(coroutine_part=0.3)
    # The stack that others share has no worker of an I/O pool.
    is_shared = False

    def inject(self, field: Field) -> list[float]:
        ids = [
            job_id
            for tenant in (0, 1)
            for job_id in field.client.submit_bulk(field.tenants[tenant], "chaos_patient", WAITING, JOBS)
        ]
        self._all_wait(field, ids, without=0)
        assert field.stack.io_worker is not None
        (pid,) = field.stack.io_worker.children()
        killed_at = time.time()
        os.kill(pid, signal.SIGKILL)
        recovery = field.all_started(ids, killed_at)
        self._all_wait(field, ids, without=pid)
        field.ended(ids, within=field.patience_seconds)
        if burned := int(field.view.number(BURNED, [ids])):
            field.violations.append(f"{burned} jobs lost an attempt with their process, or were blamed for its death")
        outcomes = [outcome for (outcome,) in field.view.rows(_OUTCOMES, [ids])]
        if outcomes != ["completed", "returned"]:
            field.violations.append(f"their executions ended as {', '.join(outcomes)}")
        return [recovery]

    def _all_wait(self, field: Field, ids: list[UUID], *, without: int) -> None:
        """Return once all of the jobs wait in processes other than one."""
        field.stack.until(
            lambda: int(field.view.number(_BEGUN_ELSEWHERE, [ids, without])) == len(ids),
            within=field.patience_seconds,
            what="all of them wait",
        )


ROWS = (CoroutinesKilled,)
