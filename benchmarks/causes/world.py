"""The world that a fault is planted in: tenants, workers, executions, and ordinary changes as noise."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from benchmarks.harness.filling import run_statement
from scheduling.models import (
    Alert,
    Investigation,
    PlatformIncident,
    Queue,
    Worker,
    WorkerPool,
)
from tenants.models import Tenant

WORKERS = 4
KINDS = ("noop", "document_indexing", "rag_pipeline", "workflow_execution", "webhook_delivery")
QUEUES = ("pipeline", "dataset", "workflow_team", "workflow_professional")
NOISE = 4_000
ERROR = "00000000deadbeef"
# Ended executions with their jobs and errors, of the minutes ``first`` to ``last`` ago; ``share`` of them fail.
_EXECUTIONS = """
WITH n AS (
    SELECT n, now() - make_interval(secs => 60 * (%(first)s + (%(last)s - %(first)s) * n / %(count)s::float8)) AS at,
        (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])] AS tenant_id,
        (%(queues)s::bigint[])[1 + (n / 3) %% cardinality(%(queues)s::bigint[])] AS queue_id,
        (%(kinds)s::text[])[1 + (n / 7) %% cardinality(%(kinds)s::text[])] AS kind,
        (%(workers)s::uuid[])[1 + (n / 2) %% cardinality(%(workers)s::uuid[])] AS worker_id,
        ('x' || substr(md5(%(seed)s || n::text), 1, 4))::bit(16)::int < 65536 * %(share)s::float8 AS is_bad
    FROM generate_series(0, %(count)s - 1) AS n
), made AS MATERIALIZED (SELECT n.*, uuidv7(at - clock_timestamp()) AS id FROM n), job AS (
    INSERT INTO scheduling_job (id, tenant_id, kind, queue_id, state, priority, rank, fair_key, tags, meta, payload,
        payload_hash, attempt, crash_count, execution_count, max_retries, fence, progress_current, progress_total,
        progress_message, checkpoint, error_type, error_message, error_fingerprint, run_at, created_at)
    SELECT id, tenant_id, kind, queue_id, CASE WHEN is_bad THEN 'discarded' ELSE 'completed' END, 0, 0, '', '{}',
        CASE WHEN %(template)s = '' THEN '{}'::jsonb ELSE jsonb_build_object('template', %(template)s) END, '{}',
        sha256(id::text::bytea), 0, 0, 1, 3, 0, 0, 0, '', '{}', '', '', '', at, at FROM made
), error AS (
    INSERT INTO scheduling_joberror (id, tenant_id, job_id, execution_id, kind, error_type, error_message,
        error_fingerprint, at)
    SELECT id, tenant_id, id, id, kind, 'ValueError', 'planted', %(error)s, at FROM made WHERE is_bad
)
INSERT INTO scheduling_execution (id, tenant_id, job_id, queue_id, kind, number, fence, worker_id, outcome,
    predicted_us, measured_us, rate_milli, dispatched_at, started_at, ended_at, error_type, error_message, traceback)
SELECT id, tenant_id, id, queue_id, kind, 1, 1, worker_id, CASE WHEN is_bad THEN 'failed' ELSE 'completed' END, 1,
    %(us)s, 1000, at, at, at, '', '', '' FROM made
"""
_BACKDATED = """
INSERT INTO tenants_auditlogentry (id, tenant_id, at, actor_kind, actor_id, actor_label, action, target_type, target_id,
    before, after, reason, request_id)
VALUES (uuidv7(make_interval(secs => -%(ago)s)), %(tenant)s, now() - make_interval(secs => %(ago)s), 'user', '1', 'ada',
    %(action)s, %(type)s, %(id)s, NULL, %(after)s::jsonb, '', '')
"""


@dataclass(slots=True)
class World:
    """Tenants, and workers of one version that have run for a day, with the executions of 40 minutes."""

    tenants: Sequence[Tenant]
    now: datetime
    random: random.Random
    workers: list[UUID] = field(default_factory=list)

    def worker(self, version: str = "1.4.0", minutes_ago: float = 1_440, **values: Any) -> Worker:
        started = self.now - timedelta(minutes=minutes_ago)
        facts = {"pool": WorkerPool.objects.get(name="default"), "hostname": f"node-{len(self.workers)}", "pid": 7}
        facts |= {
            "slots": 4,
            "version": version,
            "started_at": started,
            "heartbeat_at": self.now,
            "queues": list(QUEUES),
        }
        row: Worker = Worker.objects.create(**(facts | values))
        self.workers.append(row.pk)
        return row

    def end(self, count: int, **values: Any) -> None:
        """Write ended executions; those of the last ``minutes`` unless ``first`` and ``last`` are given."""
        facts: dict[str, Any] = {
            "count": count, "share": 0.0, "first": 4.5, "last": 0.1, "us": 1_000_000, "template": "", "error": ERROR,
            "tenants": [tenant.pk for tenant in self.tenants], "kinds": list(KINDS), "queues": list(QUEUES),
            "workers": self.workers[:WORKERS], "seed": str(self.random.random()),
        } | values  # fmt: skip
        facts["queues"] = list(Queue.objects.filter(name__in=facts["queues"]).values_list("pk", flat=True))
        run_statement(_EXECUTIONS, facts)

    def changed(
        self, action: str, target: str, ident: Any, tenant: Tenant | None = None, ago: float = 60, **after: Any
    ) -> None:
        """Write an entry of the audit log, as the service of this change does, some seconds ago."""
        values = {
            "ago": ago,
            "tenant": tenant.pk if tenant else None,
            "action": action,
            "type": target,
            "id": str(ident),
        }
        run_statement(_BACKDATED, values | {"after": json.dumps(after)})

    def alert(self, measure: str, key: str, *, threshold: float = 0.2, **values: Any) -> Investigation:
        """Open an alert as the shipped rule does, and return the question about it."""
        kind, _colon, name = key.partition(":")
        unit = "s" if measure in ("oldest_wait", "queue_without_consumer", "breaker_open") else ""
        facts: dict[str, Any] = {
            "rule_name": measure, "severity": "warning", "object_key": key, "state": "firing", "value": threshold,
            "object": {"type": kind, "id": name, "label": name, "parents": values.pop("parents", [])},
            "peak": threshold, "threshold": threshold,
            "facts": {"measure": measure, "unit": unit, **values.pop("facts", {})},
            "about_tenant": UUID(name) if kind == "tenant" else None,
            **dict.fromkeys(("pending_at", "fired_at", "changed_at", "evaluated_at"), self.now),
        }  # fmt: skip
        return Investigation(alert=Alert.objects.create(**(facts | values)).pk)

    def waits(self, queue: str) -> Investigation:
        return self.alert("oldest_wait", f"queue:{queue}", threshold=300, parents=["pool:default"])

    def waits_of(self, tenant: Tenant) -> Investigation:
        return self.alert("oldest_wait", f"tenant:{tenant.pk}", threshold=300)

    def fails(self, kind: str) -> Investigation:
        return self.alert("failure_rate", f"kind:{kind}")


def add_noise(world: World) -> None:
    """Add ordinary executions with 2 % failures, 20 changes of two hours of which four are of the last five minutes."""
    for _ in range(WORKERS):
        world.worker()
    world.end(NOISE, share=0.02, first=40, last=0.1, error="0000000000000001")
    names = [("job_template.changed", "scheduling.jobtemplate"), ("schedule.updated", "scheduling.schedule")]
    names += [("settings.changed", "tenants.tenant"), ("secret.rotated", "tenants.tenantsecret")]
    names += [
        ("tenant.limit_set", "tenants.tenant"),
        ("queue.changed", "scheduling.queue"),
        ("plan.updated", "tenants.plan"),
    ]
    names += [("webhook.changed", "webhooks.webhook"), ("routing_rule.changed", "scheduling.routingrule")]
    names += [
        ("bulk_operation.started", "scheduling.bulkoperation"),
        ("workflow.version_added", "workflow_execution.workflow"),
    ]
    quiet = [tenant for tenant in world.tenants if tenant is not world.tenants[0]]
    for number in range(20):
        action, target = world.random.choice(names)
        is_platform = action.partition(".")[0] in ("queue", "plan", "routing_rule")
        ago = world.random.uniform(0, 300) if number < 4 else world.random.uniform(300, 7_200)
        tenant = None if is_platform else world.random.choice(quiet)
        ident = tenant.pk if tenant and target == "tenants.tenant" else f"noise-{number}"
        world.changed(action, target, ident, tenant, ago, name=f"noise-{number}")
    world.worker(minutes_ago=world.random.uniform(1, 110))
    world.worker(stopped_at=world.now - timedelta(minutes=world.random.uniform(1, 110)), status="stopped")
    world.alert("upkeep", "task:prune_finished", severity="info")
    PlatformIncident.objects.create(name="rescued", detail="lease", minute=world.now - timedelta(minutes=90), count=1)


type Plant = Callable[[World], tuple[Investigation, str]]
FAULTS: dict[str, Plant] = {}


def fault(name: str) -> Callable[[Plant], Plant]:
    """Return a decorator that registers a fault; its function plants it, and returns the question and the true cause.

    The true cause is a part of a suspect's title, or of the reference to its row.
    """

    def register(plant: Plant) -> Plant:
        FAULTS[name] = plant
        return plant

    return register
