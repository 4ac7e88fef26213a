"""A what-if against what then happens: weights change under load on the real platform, and shares are compared.

Three tenants submit more than can be done, for some minutes. Then the what-if is asked, the change is made, and the
same load goes on for as long again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from django.db import connection

from benchmarks.outcome import Outcome
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import ACTOR
from scheduling.fairness.simulation.load import Change
from scheduling.selectors.what_if import answer_what_if
from scheduling.services.job_requests import JobRequest
from scheduling.services.submission import submit_jobs
from tenants.clock import read_moment
from tenants.context import acting_as, all_tenants, tenant_context
from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.services.tenants import create_tenant, update_tenant

MINUTES = 10.0
# Factors before and after: who had most gets least.
BEFORE, AFTER = (1, 2, 4), (4, 2, 1)
SECONDS_A_JOB = (0.1, 0.3)
# A second; together more than two slots can do, so that all three always have jobs waiting.
SUBMITTED_EACH = 9
SEED = 20_260_204
TARGET = 0.05
# What runs under the old weights ends, and what is charged at them is corrected, before anything is counted.
SETTLING_SECONDS = 3.0
# Submitting must not fall behind its own clock by more than this: the load would be another one.
LATE_SECONDS = 30.0

_USED = """
SELECT tenant_id, sum(extract(epoch FROM least(ended_at, %(until)s) - greatest(started_at, %(since)s)))::float8
FROM scheduling_execution WHERE tenant_id = ANY(%(tenant_ids)s) AND started_at < %(until)s AND ended_at > %(since)s
GROUP BY 1
"""


class LoadTooLateError(RuntimeError):
    """The machine is too busy to submit the load in time."""


def measure(folder: Path, *, minutes: float = MINUTES) -> Outcome:
    """Load, ask, change, load again; twice ``minutes`` and a little more."""
    seconds = minutes * 60
    tenants = _create_tenants()
    with running_platform(folder / "what_if_live.log") as platform:
        _submit_for(platform, tenants, seconds)
        predicted = _predict(tenants, seconds)
        _change_weights(tenants)
        _submit_for(platform, tenants, SETTLING_SECONDS)
        since = read_moment()
        _submit_for(platform, tenants, seconds)
        until = read_moment()
        # Executions that are running now began within the time, and are counted when they have ended.
        time.sleep(SETTLING_SECONDS)
        platform.require_alive()
        happened = _read_shares(tenants, since, until)
    return _conclude(tenants, predicted, happened, minutes)


def _create_tenants() -> Sequence[Tenant]:
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"live-{number}-{run}", plan="professional") for number in range(len(BEFORE))]
        return [
            update_tenant(tenant=tenant, changes={"weight_factor": Decimal(factor)})
            for tenant, factor in zip(tenants, BEFORE, strict=True)
        ]


def _submit_for(platform: Platform, tenants: Sequence[Tenant], seconds: float) -> None:
    """Submit every second, by the clock and not by how long submitting takes."""
    chance = random.Random(SEED)  # noqa: S311 - durations, not secrets
    began = time.monotonic()
    for turn in range(round(seconds)):
        platform.require_alive()
        late = time.monotonic() - began - turn
        if late > LATE_SECONDS:
            raise LoadTooLateError(f"Submitting is {late:.0f} s late.\n{platform.log_tail()}")
        time.sleep(max(0.0, -late))
        for tenant in tenants:
            requests = [
                JobRequest(kind="sleep", payload={"seconds": round(chance.uniform(*SECONDS_A_JOB), 3)})
                for _ in range(SUBMITTED_EACH)
            ]
            with acting_as(ACTOR), tenant_context(tenant):
                submit_jobs(tenant=tenant, requests=requests)
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _predict(tenants: Sequence[Tenant], seconds: float) -> Mapping[str, float]:
    change = Change(tenant_factors={tenant.slug: float(factor) for tenant, factor in zip(tenants, AFTER, strict=True)})
    answer = answer_what_if(change, window=timedelta(seconds=seconds))
    return {line.name: line.after.share for line in answer.tenants}


def _change_weights(tenants: Sequence[Tenant]) -> None:
    with acting_as(ACTOR):
        for tenant, factor in zip(tenants, AFTER, strict=True):
            update_tenant(tenant=tenant, changes={"weight_factor": Decimal(factor)})


def _read_shares(tenants: Sequence[Tenant], since: datetime, until: datetime) -> Mapping[str, float]:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_USED, {"tenant_ids": [tenant.pk for tenant in tenants], "since": since, "until": until})
        used = dict(cursor.fetchall())
    whole = sum(used.values()) or 1.0
    return {tenant.slug: used.get(tenant.pk, 0.0) / whole for tenant in tenants}


def _conclude(
    tenants: Sequence[Tenant], predicted: Mapping[str, float], happened: Mapping[str, float], minutes: float
) -> Outcome:
    rows = [["factor before", "after", "predicted share", "share that was", "difference"]]
    worst = 0.0
    for tenant, before, after in zip(tenants, BEFORE, AFTER, strict=True):
        said, was = predicted[tenant.slug], happened[tenant.slug]
        error = abs(said - was) / was if was else 1.0
        worst = max(worst, error)
        rows.append([f"{before}", f"{after}", f"{said:.1%}", f"{was:.1%}", f"{error:.1%} of it"])
    return Outcome(
        name="what_if_live",
        title="What-if: predicted against real",
        rows=rows,
        target=f"no share off by more than {TARGET:.0%} of what it was",
        is_met=worst <= TARGET,
        method=(
            f"Worst {worst:.1%}. Three tenants of one plan submit {SUBMITTED_EACH} `sleep` jobs of {SECONDS_A_JOB[0]} "
            f"to {SECONDS_A_JOB[1]} s each second, more than the pool can do. After {minutes:g} minutes the what-if "
            "replays these minutes under other factors; then they are set, and the shares of worker time of the next "
            f"{minutes:g} minutes are read from the executions. Real dispatcher, worker and broker."
        ),
    )
