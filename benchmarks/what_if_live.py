"""A what-if against what then happens: weights and a cap change under load on the real platform.

Three tenants submit more than can be done and a fourth one less than its share, for some minutes. Then the what-if is
asked, the change is made, and the same load goes on for as long again. Shares are compared, and waits shown.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
SECONDS_A_JOB = (0.1, 0.3)


@dataclass(frozen=True, slots=True)
class Role:
    """A tenant: its factor and cap before and after, and how many jobs it submits a second."""

    name: str
    before: int
    after: int
    jobs_a_second: int
    cap_after: int | None = None


# Each of the first three alone submits about as much as two slots can do. Who had least is to get most, and then has
# a cap that keeps it below what its weight would give it; the last one asks for less than its weight gives it.
ROLES = (
    Role("capped", 1, 8, 9, cap_after=1),
    Role("busy", 2, 2, 9),
    Role("demoted", 4, 1, 9),
    Role("quiet", 4, 4, 1),
)
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
# As the what-if counts them: from the beginning of the time or the submission to the first start, or to the end.
_WAITS = """
SELECT tenant_id, percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY
    extract(epoch FROM least(coalesce(started_at, %(until)s), %(until)s) - greatest(created_at, %(since)s))::float8)
FROM scheduling_job WHERE tenant_id = ANY(%(tenant_ids)s) AND created_at < %(until)s
    AND (started_at IS NULL OR started_at >= %(since)s)
GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Part:
    """What a tenant gets of the worker time, and its waits in seconds."""

    share: float
    wait_p50: float
    wait_p95: float


class LoadTooLateError(RuntimeError):
    """The machine is too busy to submit the load in time."""


def measure(folder: Path, *, minutes: float = MINUTES) -> Outcome:
    """Load, ask, change, load again; twice ``minutes`` and a little more."""
    seconds = minutes * 60
    tenants = _create_tenants()
    with running_platform(folder / "what_if_live.log") as platform:
        _submit_for(platform, tenants, seconds)
        predicted = _predict(tenants, seconds)
        _change(tenants)
        _submit_for(platform, tenants, SETTLING_SECONDS)
        since = read_moment()
        _submit_for(platform, tenants, seconds)
        until = read_moment()
        # Executions that are running now began within the time, and are counted when they have ended.
        time.sleep(SETTLING_SECONDS)
        platform.require_alive()
        happened = _read_parts(tenants, since, until)
    return _conclude(tenants, predicted, happened, minutes)


def _create_tenants() -> Sequence[Tenant]:
    run = uuid7().hex[-6:]
    with acting_as(ACTOR):
        return [
            update_tenant(
                tenant=create_tenant(slug=f"live-{role.name}-{run}", plan="professional"),
                changes={"weight_factor": Decimal(role.before)},
            )
            for role in ROLES
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
        for role, tenant in zip(ROLES, tenants, strict=True):
            requests = [
                JobRequest(kind="sleep", payload={"seconds": round(chance.uniform(*SECONDS_A_JOB), 3)})
                for _ in range(role.jobs_a_second)
            ]
            with acting_as(ACTOR), tenant_context(tenant):
                submit_jobs(tenant=tenant, requests=requests)
    time.sleep(max(0.0, began + seconds - time.monotonic()))


def _predict(tenants: Sequence[Tenant], seconds: float) -> Mapping[str, Part]:
    by_slug = {tenant.slug: role for role, tenant in zip(ROLES, tenants, strict=True)}
    change = Change(
        tenant_factors={slug: float(role.after) for slug, role in by_slug.items()},
        tenant_caps={slug: role.cap_after for slug, role in by_slug.items() if role.cap_after},
    )
    answer = answer_what_if(change, window=timedelta(seconds=seconds))
    return {
        line.name: Part(line.after.share, line.after.wait_p50_seconds or 0.0, line.after.wait_p95_seconds or 0.0)
        for line in answer.tenants
    }


def _change(tenants: Sequence[Tenant]) -> None:
    with acting_as(ACTOR):
        for role, tenant in zip(ROLES, tenants, strict=True):
            cap = {"max_concurrency": role.cap_after} if role.cap_after else {}
            update_tenant(tenant=tenant, changes={"weight_factor": Decimal(role.after), **cap})


def _read_parts(tenants: Sequence[Tenant], since: datetime, until: datetime) -> Mapping[str, Part]:
    values = {"tenant_ids": [tenant.pk for tenant in tenants], "since": since, "until": until}
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(_USED, values)
        used = dict(cursor.fetchall())
        cursor.execute(_WAITS, values)
        waits = dict(cursor.fetchall())
    whole = sum(used.values()) or 1.0
    return {tenant.slug: Part(used.get(tenant.pk, 0.0) / whole, *waits[tenant.pk]) for tenant in tenants}


def _conclude(
    tenants: Sequence[Tenant], predicted: Mapping[str, Part], happened: Mapping[str, Part], minutes: float
) -> Outcome:
    rows = [["tenant", "factor", "cap after", "predicted share", "was", "off by", "predicted p50/p95 wait", "was"]]
    worst = 0.0
    for role, tenant in zip(ROLES, tenants, strict=True):
        said, was = predicted[tenant.slug], happened[tenant.slug]
        error = abs(said.share - was.share) / was.share if was.share else 1.0
        worst = max(worst, error)
        waits = [f"{part.wait_p50:.2f} / {part.wait_p95:.2f} s" for part in (said, was)]
        shares = [f"{said.share:.1%}", f"{was.share:.1%}", f"{error:.1%} of it"]
        rows.append([role.name, f"{role.before} → {role.after}", f"{role.cap_after or '–'}", *shares, *waits])
    return Outcome(
        name="what_if_live",
        title="What-if: predicted against real",
        rows=rows,
        target=f"no share off by more than {TARGET:.0%} of what it was",
        is_met=worst <= TARGET,
        method=(
            f"Worst {worst:.1%}. Four tenants of one plan submit `sleep` jobs of {SECONDS_A_JOB[0]} to "
            f"{SECONDS_A_JOB[1]} s: three of them {ROLES[0].jobs_a_second} a second, each about as much as the pool "
            f"can do, and the quiet one {ROLES[-1].jobs_a_second}. After {minutes:g} minutes the what-if replays these "
            "minutes under other factors and with a cap; then these are set, and the shares of worker time and the "
            f"waits of the next {minutes:g} minutes are read. Waits count from the beginning of that time for what "
            "waited already, and up to its end for what had not begun; there is no target for them. Real dispatcher, "
            "worker and broker."
        ),
    )
