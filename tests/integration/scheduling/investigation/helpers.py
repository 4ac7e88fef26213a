"""Planted workers, executions and alerts that the tests of investigations share."""

from __future__ import annotations

from datetime import timedelta
from random import getrandbits
from typing import Any
from uuid import UUID

from django.utils import timezone

from scheduling.investigation.service import investigate
from scheduling.models import Alert, Execution, Investigation, JobError, Queue, Worker, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7_floor
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit

FINGERPRINT = "0123456789abcdef"


def make_worker(version: str, *, minutes_ago: float, **values: Any) -> Worker:
    at = timezone.now() - timedelta(minutes=minutes_ago)
    pool = WorkerPool.objects.get(name="default")
    facts = {"pool": pool, "hostname": f"host-{version}", "pid": 1, "slots": 4, "version": version, "started_at": at}
    facts |= {"heartbeat_at": timezone.now(), "queues": ["pipeline"], **values}
    with all_tenants():
        worker: Worker = Worker.objects.create(**facts)
    return worker


def end(tenant: Tenant, worker: Worker, count: int, *, failed: bool = False, minutes_ago: float = 2) -> None:
    """Write ended executions of the queue `pipeline`; failed ones with errors of one fingerprint."""
    (job,) = submit(tenant)
    at = timezone.now() - timedelta(minutes=minutes_ago)
    queue = Queue.objects.get(name="pipeline")
    facts = {"tenant": tenant, "queue": queue, "kind": "noop", "number": 1, "fence": 1, "worker_id": worker.pk}
    facts |= {"predicted_us": 1, "measured_us": 1_000_000, "dispatched_at": at, "started_at": at, "ended_at": at}
    with all_tenants():
        for number in range(count):
            moment = UUID(int=uuid7_floor(at + timedelta(milliseconds=number)).int | getrandbits(60))
            execution = Execution(id=moment, job_id=job.pk, outcome="failed" if failed else "completed", **facts)
            execution.save(force_insert=True)
            if failed:
                JobError.objects.create(
                    id=moment, tenant=tenant, job_id=job.pk, execution_id=execution.pk, kind="noop", at=at,
                    error_type="ValueError", error_message="no header", error_fingerprint=FINGERPRINT,
                )  # fmt: skip


def make_alert(
    tenant: Tenant | None = None, *, measure: str = "failure_rate", key: str = "kind:noop", **values: Any
) -> Alert:
    now = timezone.now()
    facts = {"rule_name": "failures", "severity": "warning", "object_key": key, "state": "firing", "value": 0.5}
    facts |= {"object": {"type": key.partition(":")[0], "id": key.partition(":")[2], "label": key, "parents": []}}
    facts |= {"peak": 0.5, "threshold": 0.2, "pending_at": now, "fired_at": now, "changed_at": now, "evaluated_at": now}
    facts |= {"facts": {"measure": measure}, "tenant": tenant, **values}
    with all_tenants():
        alert: Alert = Alert.objects.create(**facts)
    return alert


def ask(tenant: Tenant | None = None, **asked: Any) -> Investigation:
    with tenant_context(tenant) if tenant else all_tenants():
        return investigate(Investigation(**asked))


def titles(found: Investigation) -> list[str]:
    return [one["title"] for one in found.suspects]


def plant_bad_version(*tenants: Tenant) -> Worker:
    """Return the worker of a new version, on which jobs of the tenants fail; those on an older one succeed."""
    old = make_worker("1.0", minutes_ago=600)
    new = make_worker("2.0", minutes_ago=8)
    for tenant in tenants:
        end(tenant, old, 60, minutes_ago=20)
        end(tenant, old, 30)
        end(tenant, new, 20, failed=True)
    return new
