"""Changes before the onset as suspects: of rows, workers and schedules, incidents and other alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum
from django.utils.translation import gettext as _

from scheduling.alerts.incidents import LEAST
from scheduling.anomalies.words import describe, name_series
from scheduling.investigation.case import Case
from scheduling.investigation.lift import Suspect
from scheduling.models import Alert, Anomaly, PlatformIncident, Queue, ScheduleFire, Worker, WorkerPool
from tenants.database.ids import uuid7_floor
from tenants.models import AuditLogEntry

# Rows that a source reads at most.
MOST = 200
# A worker without a heartbeat for this time is silent.
SILENT = timedelta(seconds=30)
# How likely a change of such a row is the cause, by the noun of its action, and the verbs that are changes.
NOUNS = {
    "api_key": 0.6, "bulk_operation": 0.8, "cfs_plan": 0.8, "circuit": 0.9, "job_template": 0.9, "kind": 0.9,
    "pipeline": 0.8, "plan": 0.8, "pool": 0.8, "queue": 0.8, "routing_rule": 0.9, "schedule": 0.8, "secret": 0.9,
    "settings": 0.8, "tenant": 0.8, "tier": 0.6, "webhook": 0.7, "worker_pool": 0.8, "workflow": 0.9,
}  # fmt: skip
VERBS = (
    "activated", "backfilled", "changed", "created", "deleted", "draining", "expiring", "forced_closed", "forced_open",
    "imported", "limit_cleared", "limit_expired", "limit_set", "paused", "reinstated", "resumed", "revoked",
    "rolled_back", "rotated", "run", "started", "suspended", "updated", "version_added", "version_saved",
)  # fmt: skip
ACTIONS = [f"{noun}.{verb}" for noun in NOUNS for verb in VERBS]
_WIDE = ("cfs_plan", "plan", "settings", "tier", "worker_pool", "pool")
# How likely another alert is the cause, by its measure; a symptom explains little.
MEASURES = {
    "broker_away": 1.0, "check": 0.95, "pool_without_worker": 0.95, "queue_without_consumer": 0.9, "breaker_open": 0.9,
    "integrity": 0.6, "limit_used": 0.7, "incident": 0.6, "upkeep": 0.3,
}  # fmt: skip
# Anomalies of these, and low values, are symptoms.
SYMPTOMS = ("failures", "wait")
WIDE_MEASURES = ("broker_away", "check", "incident")


def read_audit(case: Case) -> Iterator[Suspect]:
    bounds = {"id__gte": uuid7_floor(case.since), "id__lt": uuid7_floor(case.until)}
    rows = AuditLogEntry.objects.filter(action__in=ACTIONS, **bounds).select_related("tenant").order_by("-id")
    labels = {
        f"scheduling.{noun}:{pk}": name
        for noun, model in (("queue", Queue), ("workerpool", WorkerPool))
        for pk, name in model._default_manager.values_list("pk", "name")[:MOST]
    }
    for entry in rows[:MOST]:
        noun = entry.action.partition(".")[0]
        target = f"{entry.target_type}:{entry.target_id}"
        # A tenant's change concerns the tenant, whatever it contains.
        names = {entry.tenant.slug} if entry.tenant else {*_words(entry.before), *_words(entry.after), target}
        title, least = (
            f"{entry.action} {labels.get(target) or _name(entry)}",
            0.5 if noun in _WIDE and not entry.tenant else 0.1,
        )
        evidence = (describe_entry(entry),)
        yield Suspect(f"{noun} {target}", title, NOUNS[noun], entry.at, names, least, evidence, f"audit:{entry.pk}")


def describe_entry(entry: AuditLogEntry) -> str:
    """Return the time, actor, action, changed values and reason of an audit entry."""
    changed = " → ".join(json.dumps(part, ensure_ascii=False)[:150] for part in (entry.before, entry.after) if part)
    actor = entry.actor_label or entry.actor_kind
    return " ".join(filter(None, (f"{entry.at:%H:%M:%S}", actor, entry.action, changed, entry.reason)))


def _name(entry: AuditLogEntry) -> str:
    named = {**(entry.before or {}), **(entry.after or {})}
    own = entry.tenant.slug if entry.tenant is not None and str(entry.tenant.pk) == entry.target_id else entry.target_id
    return str(named.get("name") or named.get("slug") or named.get("key") or own)


def _words(value: Any) -> Iterator[str]:
    """Yield the texts within a JSON value, also the names of its fields."""
    if isinstance(value, dict):
        for name, held in value.items():
            yield str(name)
            yield from _words(held if not isinstance(held, int) else f"{name}:{held}")
    elif isinstance(value, list):
        for held in value:
            yield from _words(held)
    elif isinstance(value, str):
        yield value


def read_workers(case: Case) -> Iterator[Suspect]:
    span = (case.since, case.until)
    seen = min(case.until, case.now) - SILENT
    lost = Q(heartbeat_at__range=(case.since, seen), stopped_at=None)
    moved = Worker.objects.filter(Q(started_at__range=span) | Q(stopped_at__range=span) | lost).select_related("pool")
    rows = list(moved.order_by("-started_at")[:MOST])
    older = Worker.objects.filter(started_at__lt=case.since, version__in={row.version for row in rows})
    known = set(older.values_list("version", flat=True).distinct())
    for worker in rows:
        names = {str(worker), worker.version, worker.pool.name, *worker.queues}
        key, ref, facts = f"worker {worker.pk}", f"worker:{worker.pk}", {"worker": worker, "version": worker.version}
        if worker.started_at >= case.since and worker.version and worker.version not in known:
            title = _("deploy of version %(version)s") % facts
            yield Suspect(f"deploy {worker.version}", title, 0.9, worker.started_at, names, 0.3, (str(worker),), ref)
        elif worker.started_at >= case.since:
            yield Suspect(key, _("worker %(worker)s joined") % facts, 0.3, worker.started_at, names, ref=ref)
        if worker.stopped_at and worker.stopped_at <= case.until:
            title, prior = _("worker %(worker)s left") % facts, 0.9 if worker.stop_reason else 0.4
            yield Suspect(key, title, prior, worker.stopped_at, names, evidence=(worker.stop_reason,), ref=ref)
        elif worker.stopped_at is None and worker.heartbeat_at < seen:
            yield Suspect(key, _("worker %(worker)s is silent") % facts, 0.95, worker.heartbeat_at, names, ref=ref)


def read_incidents(case: Case) -> Iterator[Suspect]:
    span = (case.onset - timedelta(minutes=10), case.until)
    groups = PlatformIncident.objects.filter(minute__range=span).order_by().values("name")
    for row in groups.annotate(total=Sum("count"), at=Min("minute"), detail=Max("detail"))[:MOST]:
        if row["total"] >= LEAST.get(row["name"], 1):
            title = _("incident %(name)s") % row
            yield Suspect(f"incident {row['name']}", title, 0.6, row["at"], least=0.6, evidence=(row["detail"],))


def read_alerts(case: Case) -> Iterator[Suspect]:
    began = Q(pk__gte=uuid7_floor(case.since), pk__lt=uuid7_floor(case.until)) | ~Q(state=Alert.State.RESOLVED)
    lasted = Q(resolved_at=None) | Q(resolved_at__gte=case.onset)
    rows = Alert.objects.filter(began, lasted, pending_at__lt=case.until)
    for alert in rows.exclude(pk__in=[case.alert.pk] if case.alert else []).order_by("-pk")[:MOST]:
        measure = alert.facts.get("measure", "")
        names = {*alert.object.get("parents", []), alert.object_key.partition("@")[0]}
        names = {key.partition(":")[2] for key in names} | {*alert.tenants}
        yield Suspect(
            f"alert {alert.rule_id} {alert.object_key}", str(alert), MEASURES.get(measure, 0.2), alert.pending_at,
            names, 0.9 if measure in WIDE_MEASURES else 0.1, (alert.facts.get("message", ""),), f"alert:{alert.pk}",
        )  # fmt: skip


def read_anomalies(case: Case) -> Iterator[Suspect]:
    began = Anomaly.objects.filter(seen_at__gte=case.since, began_at__range=(case.since, case.until))
    rows = list(began.select_related("tenant").order_by("-id")[:MOST])
    slugs = name_series(rows)
    for row in rows:
        parts = {row.scope: slugs.get(row.name, row.name)}
        if row.tenant and case.is_of_platform:
            parts["tenant"] = row.tenant.slug
        # As the values of executions, whose evidence it adds to.
        title = ", ".join(f"{scope} {name}" for scope, name in sorted(parts.items()))
        terms = " ".join(f"{scope}:{name}" for scope, name in parts.items())
        evidence = f"{row.began_at:%H:%M:%S} {row.get_measure_display()}: {describe(row)}"
        prior = 0.2 if row.measure in SYMPTOMS or row.score < 0 else 0.4
        yield Suspect(
            f"values {title}", title, prior, row.began_at, {*parts.values()}, evidence=(evidence,), ref=f"jobs:{terms}"
        )


def read_fires(case: Case) -> Iterator[Suspect]:
    fires = ScheduleFire.objects.filter(
        pk__gte=uuid7_floor(case.since), pk__lt=uuid7_floor(case.until), job__isnull=False
    )
    late = Q(fired_at__gte=case.onset - timedelta(minutes=1))
    groups = fires.order_by().values("schedule__name", "schedule__kind", "tenant__slug", "schedule_id")
    for row in groups.annotate(
        new=Count("pk", filter=late), old=Count("pk", filter=~late), at=Min("fired_at", filter=late)
    )[:MOST]:
        if row["new"] >= 10 and row["new"] > row["old"]:
            title = _("schedule %(schedule__name)s fired %(new)s times, %(old)s times in the two hours before") % row
            names = {row["schedule__name"], row["schedule__kind"], row["tenant__slug"]}
            yield Suspect(f"schedule scheduling.schedule:{row['schedule_id']}", title, 0.9, row["at"], names, 0.5)
