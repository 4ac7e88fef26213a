"""What sealing costs where jobs are shortest: the start and the settlement of merged messages, on against off."""

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now
from django.test import override_settings

from benchmarks.outcome import Outcome
from scheduling.models import Job, LiveExecution, Queue, SchedulingEntity
from scheduling.retry import RetryPolicy
from scheduling.services.execution import start_executions
from scheduling.services.settlement import settle
from scheduling.worker import policy
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.ids import uuid7
from tenants.models import Plan, Tenant
from tenants.services.data_keys import make_missing_keys

QUEUE = "workflow_professional"
TENANTS = 20
MESSAGES = 200
JOBS_A_MESSAGE = 16
WARM_UP = 20
# About what an id, an address and some options come to.
PAYLOAD = {"url": "https://example.org/path/to/a/document", "options": {"depth": 3, "text": "x" * 200}}
RESULT = {"status": 200, "text": "y" * 200}
TARGET = 1.1
MASTER_KEY = base64.b64encode(b"b" * 32).decode()


@dataclass(frozen=True, slots=True)
class Message:
    """Jobs that were handed out together."""

    token: UUID
    execution_ids: Sequence[UUID]


def measure(folder: Path) -> Outcome:
    """Turns of both kinds one after another, so that whatever else the machine does meets both."""
    del folder  # nothing but the database takes part
    tenants = _create_tenants()
    with sealing():
        make_missing_keys()
    seconds: dict[str, list[float]] = {"off": [], "on": []}
    cpu: dict[str, list[float]] = {"off": [], "on": []}
    for number in range(-WARM_UP, MESSAGES):
        for name in ("off", "on") if number % 2 else ("on", "off"):
            spent, busy = _turn(tenants, is_on=name == "on")
            if number >= 0:
                seconds[name].append(spent)
                cpu[name].append(busy)
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    ratio = medians["on"] / medians["off"]
    rows = [("sealing", "start and settlement of a message, ms (median)", "a job, µs", "of it the worker's CPU, µs")]
    for name, median in medians.items():
        a_job = [f"{value / JOBS_A_MESSAGE * 1e6:,.0f}" for value in (median, statistics.median(cpu[name]))]
        rows.append((name, f"{median * 1e3:.2f}", *a_job))
    return Outcome(
        name="encryption",
        title="Sealed values: start and settlement of merged messages",
        rows=rows,
        target=f"at most {TARGET} times as long with sealing; it was {ratio:.3f} times",
        is_met=ratio <= TARGET,
        method=(
            f"{MESSAGES} messages of {JOBS_A_MESSAGE} jobs of {TENANTS} tenants each way, by turns in one process, with"
            " payloads and results of some 250 bytes: the statement that begins them, opening, sealing, and the"
            " statement that settles them."
        ),
    )


@contextmanager
def sealing(*, is_on: bool = True) -> Iterator[None]:
    """Values are sealed, or not, whatever the environment says."""
    with override_settings(ENCRYPTION_MASTER_KEYS=[MASTER_KEY] if is_on else []):
        yield


def _turn(tenants: Sequence[Tenant], *, is_on: bool) -> tuple[float, float]:
    """Hand out a message, and time its way from there to its end: by the clock, and by this process's CPU."""
    with sealing(is_on=is_on):
        message = _hand_out(tenants)
        began, began_cpu = time.perf_counter(), time.process_time()
        started = start_executions(execution_ids=message.execution_ids, token=message.token, worker_id=uuid7())
        settled = settle([policy.settlement_of(RESULT, one, RetryPolicy(max_retries=0)) for one in started])
        spent, busy = time.perf_counter() - began, time.process_time() - began_cpu
    if len(settled) != JOBS_A_MESSAGE or any(one.payload != PAYLOAD for one in started):
        raise RuntimeError(f"{len(settled)} of {JOBS_A_MESSAGE} jobs were settled.")
    return spent, busy


def _hand_out(tenants: Sequence[Tenant]) -> Message:
    """Jobs as a tick leaves them."""
    token, message_id = uuid7(), uuid7()
    with all_tenants():
        queue = Queue.objects.get(name=QUEUE)
        entities = dict(SchedulingEntity.objects.filter(queue=queue).values_list("tenant_id", "pk"))
        owners = [tenants[number % len(tenants)] for number in range(JOBS_A_MESSAGE)]
        jobs = Job.objects.bulk_create(
            Job(
                tenant=tenant,
                kind="noop",
                queue=queue,
                state="dispatched",
                rank=0,
                payload=PAYLOAD,
                payload_hash=b"",
                run_at=Now(),
                created_at=Now(),
            )
            for tenant in owners
        )
        lives = LiveExecution.objects.bulk_create(
            LiveExecution(
                tenant_id=job.tenant_id,
                job=job,
                entity_id=entities[job.tenant_id],
                queue=queue,
                pool_id=queue.pool_id,
                kind=job.kind,
                number=1,
                message_id=message_id,
                token=token,
                predicted_us=1_000,
                weight_milli=1_000,
                queue_weight_milli=1_000,
                dispatched_at=Now(),
                published_at=Now(),
            )
            for job in jobs
        )
    return Message(token, [live.pk for live in lives])


def _create_tenants() -> list[Tenant]:
    plan, run = Plan.objects.get(slug="professional"), uuid7().hex[-8:]
    forget_keys()
    with all_tenants():
        made = Tenant.objects.bulk_create(
            [Tenant(slug=f"sealed-{run}-{number}", name=f"Sealed {number}", plan=plan) for number in range(TENANTS)]
        )
        queue = Queue.objects.get(name=QUEUE)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO scheduling_schedulingentity (tenant_id, queue_id, weight_milli, vruntime, is_runnable,"
                " in_flight, waiting, head_rank, estimate_us)"
                " SELECT unnest(%s::uuid[]), %s, 1000, 0, false, 0, 0, 0, 1000",
                [[tenant.pk for tenant in made], queue.pk],
            )
    return list(made)
