"""The run: start everything, load it, break it, heal it, drain it, and look at what is left."""

from __future__ import annotations

import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.faults import Faults, Healed
from benchmarks.soak.load import ClientLog, TenantLoad
from benchmarks.soak.proof import count_outcomes, count_states, drain, find_losses, next_starts, verify
from benchmarks.soak.sampling import Samples
from benchmarks.soak.stack import Stack, running_stack
from jobsplatform.demo.provision import ACTOR
from scheduling.models import Schedule
from scheduling.services.schedules.definitions import delete_schedule
from tenants.context import acting_as, tenant_context
from tenants.models import Tenant
from tenants.permissions import DEVELOPER_KEY_SCOPES
from tenants.services.api_keys import issue_api_key
from tenants.services.tenants import create_tenant

PLANS = ("professional", "professional", "team", "sandbox")
LOOK_SECONDS = 3.0
# The first fault comes when everybody has begun.
FIRST_FAULT_SECONDS = 30.0
BETWEEN_FAULTS = (6.0, 14.0)
# Of the run: until here there are faults, and from there on growth counts. So what is looked at has faults in it,
# and then enough of load alone for those that were restarted last.
FAULTY_PART, COUNTED_PART = 0.6, 0.4


@dataclass(slots=True)
class Soak:
    """What a run found."""

    minutes: float
    seed: int
    samples: Samples = field(default_factory=Samples)
    healed: list[Healed] = field(default_factory=list)
    flows: Sequence[float | None] = ()
    unasked_ends: Sequence[str] = ()
    accepted: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    refused_connections: int = 0
    states: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    drained_seconds: float | None = None
    verified: Sequence[tuple[str, str]] = ()
    violations: list[str] = field(default_factory=list)

    @property
    def counts_since(self) -> float:
        """Until then everything warms up."""
        return self.minutes * 60 * COUNTED_PART


def soak(folder: Path, *, minutes: float, seed: int) -> Soak:
    """Live through ``minutes`` of load and faults, and then see whether all is in order."""
    result = Soak(minutes, seed)
    with running_stack(folder) as stack:
        tenants = _create_tenants()
        loads = [
            TenantLoad(stack.address, token, seed * 100 + number, makes_trouble=number < 2)
            for number, (_, token) in enumerate(tenants)
        ]
        result.samples = Samples()
        for load in loads:
            load.start()
        _live(stack, result)
        for load in loads:
            load.stop()
        for load in loads:
            load.join()
        _stop_schedules([tenant for tenant, _ in tenants])
        _conclude(stack, result, [load.log for load in loads])
    return result


def _live(stack: Stack, result: Soak) -> None:
    chance = random.Random(result.seed)  # noqa: S311 - an order of faults, not a secret
    faults, samples = Faults(stack, chance), result.samples
    until, next_fault = result.minutes * 60, FIRST_FAULT_SECONDS
    while samples.seconds < until:
        stack.keep_running()
        samples.take(stack)
        if next_fault <= samples.seconds < until * FAULTY_PART:
            healed = faults.inject_next()
            samples.note_fault()
            result.healed.append(healed)
            _tell(f"{samples.seconds:5.0f} s  {healed.name}")
            next_fault = samples.seconds + chance.uniform(*BETWEEN_FAULTS)
        time.sleep(LOOK_SECONDS)


def _conclude(stack: Stack, result: Soak, logs: Sequence[ClientLog]) -> None:
    _tell("draining")
    result.drained_seconds = drain(stack)
    accepted = {job_id for log in logs for job_id in log.accepted}
    result.accepted = len(accepted)
    result.answers = sum((log.answers for log in logs), Counter())
    result.refused_connections = sum(log.refused_connections for log in logs)
    result.states, result.outcomes = count_states(), count_outcomes()
    result.flows = next_starts(result.healed)
    result.unasked_ends = list(stack.unasked_ends)
    result.verified = list(verify())
    if result.drained_seconds is None:
        result.violations.append("not drained in time")
    result.violations += find_losses(accepted)
    result.violations += [f"{name}: {objection}" for name, objection in result.verified if objection]
    result.violations += [fault for log in logs for fault in log.faults]


def _create_tenants() -> list[tuple[Tenant, str]]:
    run = secrets.token_hex(2)
    with acting_as(ACTOR):
        tenants = [create_tenant(slug=f"soak-{run}-{number}", plan=plan) for number, plan in enumerate(PLANS)]
        return [
            (tenant, issue_api_key(tenant=tenant, name="soak", scopes=DEVELOPER_KEY_SCOPES).token) for tenant in tenants
        ]


def _stop_schedules(tenants: Sequence[Tenant]) -> None:
    """What fires every minute would never drain."""
    with acting_as(ACTOR):
        for tenant in tenants:
            with tenant_context(tenant):
                for schedule in Schedule.objects.all():
                    delete_schedule(schedule_id=schedule.pk)


def _tell(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()
