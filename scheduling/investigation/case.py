"""What an investigation is about: the onset, and the names of the objects concerned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Min

from scheduling.alerts.acts import find_alert
from scheduling.models import Alert, AlertCause, Investigation, Queue, WorkerPool
from tenants.context import require_scope
from tenants.database.clock import read_moment
from tenants.exceptions import FieldInvalidError
from tenants.models import Tenant

BEFORE, AFTER = timedelta(hours=2), timedelta(minutes=2)
# A rate is that of the last five minutes; executions and failures are read until this time after the onset.
RATE_WINDOW, SAMPLE = timedelta(minutes=5), timedelta(minutes=15)
# Fields that name the subject of a new investigation.
SUBJECT = ("alert", "fingerprint", "kind", "queue", "only_tenant", "began_at", "ended_at")
_FAILURES = ("failure_rate", "new_cause", "failures_of_cause", "breaker_open")
_WAITS = (
    "oldest_wait",
    "queue_without_consumer",
    "pool_without_worker",
    "share",
    "objective_burn",
    "objective_slow_burn",
)


@dataclass(slots=True)
class Case:
    """The subject: from ``onset`` to ``until``. Sources add names that most of the failures have in common."""

    onset: datetime
    until: datetime
    now: datetime
    subject: str = ""
    label: str = ""
    kind: str = ""
    queue: str = ""
    fingerprint: str = ""
    tenant_id: UUID | None = None
    alert: Alert | None = None
    measure: str = ""
    names: set[str] = field(default_factory=set)
    state: list[str] = field(default_factory=list)

    @property
    def since(self) -> datetime:
        return self.onset - BEFORE

    @property
    def sampled_until(self) -> datetime:
        return min(self.now, self.until + SAMPLE)

    @property
    def is_of_platform(self) -> bool:
        return require_scope().is_all_tenants

    def concerns(self, what: str) -> float:
        """Return the weight of findings about `failures` or `waits`: less if the alert is about the other."""
        return 0.4 if self.measure in (_WAITS if what == "failures" else _FAILURES) else 1.0


def open_case(asked: Investigation) -> Case:
    """Return the case of an unsaved investigation in the current scope; raise `FieldInvalidError` without a subject."""
    now = read_moment()
    if (asked.began_at or now) > now + AFTER or (asked.ended_at or now) < (asked.began_at or now):
        raise FieldInvalidError("began_at: It must be in the past, and before the end.")
    case = _of_spike(asked, now) if asked.alert is None else _of_alert(find_alert(asked.alert), now)
    case.names |= {case.kind, case.queue, case.fingerprint, f"scheduling.kind:{case.kind}"} - {"", "scheduling.kind:"}
    if case.tenant_id and (tenant := Tenant.objects.filter(pk=case.tenant_id).first()):
        case.names |= {tenant.slug, f"tenants.plan:{tenant.plan_id}"}
    add_queues(case, [case.queue])
    return case


def add_queues(case: Case, names: Iterable[str]) -> None:
    """Add the names of queues, of their pools and of their rows."""
    for queue in Queue.objects.filter(name__in=list(names)).select_related("pool"):
        case.names |= {queue.name, f"scheduling.queue:{queue.pk}", f"queue:{queue.pk}", queue.pool.name}
        case.names.add(f"scheduling.workerpool:{queue.pool_id}")


def _of_alert(alert: Alert, now: datetime) -> Case:
    measure, about = str(alert.facts.get("measure", "")), _objects(alert)
    # A value in seconds is how long its condition has lasted.
    lead = timedelta(seconds=alert.threshold) if alert.facts.get("unit") == "s" else RATE_WINDOW
    onset = alert.pending_at - min(lead, BEFORE)
    case = Case(onset, alert.pending_at + AFTER, now, f"{alert.rule_id} {alert.object_key}", str(alert), alert=alert)
    case.measure, case.tenant_id = measure, alert.tenant_id or alert.about_tenant
    # The queue of a failed job is only where it was.
    case.kind, case.fingerprint = about.get("kind", ""), about.get("cause", "")
    case.queue = about.get("queue", "") if not case.fingerprint else ""
    case.names |= set(about.values()) | {str(alert.facts.get("dependency") or "")} - {""}
    if pool := WorkerPool.objects.filter(name=about.get("pool", "")).first():
        case.names.add(f"scheduling.workerpool:{pool.pk}")
        if "queue" not in about:
            add_queues(case, pool.queues.values_list("name", flat=True))
    return case


def _objects(alert: Alert) -> Mapping[str, str]:
    keys: list[Any] = [*alert.object.get("parents", []), alert.object_key.partition("@")[0]]
    return {kind: name.partition(":")[0] for kind, _, name in (str(key).partition(":") for key in keys)}


def _of_spike(asked: Investigation, now: datetime) -> Case:
    began, causes = asked.began_at, AlertCause.objects.filter(fingerprint=asked.fingerprint).order_by("first_at")
    if asked.fingerprint and began is None:
        began = causes.aggregate(at=Min("first_at"))["at"]
    if began is None or not (asked.fingerprint or asked.kind or asked.queue or asked.only_tenant):
        raise FieldInvalidError(
            "began_at: Give an alert or a fingerprint, or a kind, queue or tenant and the time at which it began."
        )
    parts = {"error": asked.fingerprint, "kind": asked.kind, "queue": asked.queue, "tenant": asked.only_tenant}
    subject = " ".join(f"{name}:{value}" for name, value in parts.items() if value)
    until = min(asked.ended_at or began + RATE_WINDOW, now) + AFTER
    message = causes.values_list("message", flat=True).first() if asked.fingerprint else ""
    case = Case(began, until, now, subject, message or subject, asked.kind, asked.queue, asked.fingerprint)
    case.tenant_id, case.measure = (
        require_scope().tenant_id or asked.only_tenant,
        "failure_rate" * bool(asked.fingerprint),
    )
    return case
