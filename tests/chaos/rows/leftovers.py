"""Jobs that leave processes and descriptors behind."""

from __future__ import annotations

import time

from tests.chaos.plugin.litter import DAEMON, is_running
from tests.chaos.row import Field, Row

JOBS = 12
_DAEMONS = "SELECT split_part(step, ' ', 2)::int FROM chaos_effect WHERE step LIKE %s AND job_id = ANY (%s)"


class DescriptorAndDaemonLeaks(Row):
    id, fault = "W24", "jobs that leave daemons, and jobs that take every descriptor of their process"
    bound_seconds, measured = 60.0, "until all of them have completed and no daemon is left"

    def inject(self, field: Field) -> list[float]:
        began_at = time.time()
        jobs = []
        for number in range(JOBS):
            payload: dict[str, object] = {
                "reports": True,
                "is_deaf": number % 3 == 0,
                "takes_descriptors": number % 2 == 0,
            }
            jobs.append(field.job_of(field.submit(number % 3, "chaos_litter", payload)))
            field.wait(0.0, 0.5)
        field.ended(jobs, within=field.patience_seconds)
        pids = [int(pid) for (pid,) in field.view.rows(_DAEMONS, [f"{DAEMON} %", jobs])]
        if len(pids) < 3 * JOBS:
            field.violations.append(f"{len(pids)} daemons were reported: the row is inconclusive")
        field.stack.until(
            lambda: not any(map(is_running, pids)), within=field.patience_seconds, what="no daemon is left"
        )
        return [time.time() - began_at]


ROWS = (DescriptorAndDaemonLeaks,)
