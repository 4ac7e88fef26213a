"""Sources of suspects: each reads one table within bounds, in the current scope."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from scheduling.breakers.rules import BLOCKING
from scheduling.investigation import changes
from scheduling.investigation.case import Case, add_queues
from scheduling.investigation.lift import Group, Suspect, explain
from scheduling.models import (
    Alert,
    Circuit,
    Drain,
    KindPause,
    PoolGauge,
    Queue,
    QueueGauge,
    WorkerPool,
)
from scheduling.statistics.throughput import FAILED
from tenants.context import all_tenants
from tenants.database.ids import uuid7_floor
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.fields import is_sealing
from tenants.models import LimitWarning, Tenant, TenantStatus

# Executions or jobs that are read at most on each side of the onset.
HALF = 5_000
_SQL = load_sql(__file__)


@dataclass(frozen=True, slots=True)
class Source:
    """One read. Those of the platform are left out for a tenant."""

    name: str
    read: Callable[[Case], Iterable[Suspect]]
    is_of_platform: bool = False


def _read_executions(case: Case) -> Iterator[Suspect]:
    rows = fetch_all(_SQL["executions"], {**_bounds(case), "kind": case.kind, "failed": list(FAILED)}, is_planned=True)
    failed = [Group(_values(row, case), row.failed, row.ended - row.failed) for row in rows]
    if case.concerns("failures") == 1:
        _add_common(case, failed)
    yield from _explained(case, failed, _("%(share)s of the failures, %(lift)s times as likely to fail"), "failures")
    # Slot time in units of an average execution, as the test of chance counts.
    unit = sum(row.used + row.used_before for row in rows) / (sum(row.ended for row in rows) or 1) or 1
    used = [Group(_values(row, case), row.used / unit, row.used_before / unit) for row in rows]
    yield from _explained(case, used, _("%(share)s of the slot time since then, %(usual)s before"), "waits")


def _add_common(case: Case, groups: list[Group]) -> None:
    """Add the names of the values that at least half of the failures have."""
    total, counts = sum(group.bad for group in groups), defaultdict[tuple[str, str], float](float)
    for group in groups:
        for pair in group.values.items():
            counts[pair] += group.bad
    _add_names(case, [pair for pair, bad in counts.items() if bad and 2 * bad >= total])


def _add_names(case: Case, values: Iterable[tuple[str, str]]) -> None:
    case.names |= {part for _name, value in values for part in (value, value.partition("@")[0])}
    add_queues(case, [value for name, value in values if name == "queue"])


def _read_submissions(case: Case) -> Iterator[Suspect]:
    rows = fetch_all(_SQL["submissions"], _bounds(case), is_planned=True)
    groups = [Group(_values(row, case), row.after, row.before) for row in rows]
    yield from _explained(case, groups, _("%(share)s of the jobs submitted since then, %(usual)s before"), "waits")


def _bounds(case: Case) -> dict[str, Any]:
    queue = Queue.objects.filter(name=case.queue).values_list("pk", flat=True).first() if case.queue else None
    bounds = {"since": case.since, "onset": case.onset, "until": case.sampled_until}
    floors = {name: uuid7_floor(moment) for name, moment in bounds.items()}
    return {**floors, "tenant": case.tenant_id, "queue": queue, "fingerprint": case.fingerprint, "half": HALF}


def _values(row: Any, case: Case) -> dict[str, str]:
    """Return the values by dimension, without those that the subject has anyway or the viewer may not see."""
    hidden = {name for name in ("kind", "queue") if getattr(case, name)} | ({"tenant"} if case.tenant_id else set())
    if not case.is_of_platform:
        hidden |= {"tenant", "worker", "version"}
    names = ("kind", "queue", "tenant", "worker", "version", "template")
    values: dict[str, str] = {name: getattr(row, name, "") for name in names if name not in hidden}
    return {name: value for name, value in values.items() if value}


def _explained(case: Case, groups: list[Group], words: str, what: str) -> Iterator[Suspect]:
    dimensions = sorted({name for group in groups for name in group.values})
    for found in explain(groups, dimensions)[:10]:
        title = ", ".join(f"{name} {value}" for name, value in found.values)
        terms = " ".join(_term(name, value) for name, value in found.values if name not in ("worker", "version"))
        if found.share >= 0.5:
            _add_names(case, found.values)
        names = frozenset(value for _name, value in found.values)
        facts = {"share": f"{found.share:.0%}", "usual": f"{found.usual:.0%}", "lift": f"{found.lift:.1f}"}
        yield Suspect(
            f"values {title}", title, 0.95 * found.weight * case.concerns(what), names=names, least=1.0,
            evidence=(words % facts,), ref=f"jobs:{terms}" if terms else "",
        )  # fmt: skip


def _term(name: str, value: str) -> str:
    return f"meta.template:{value}" if name == "template" else f"{name}:{value}"


def _read_stops(case: Case) -> Iterator[Suspect]:
    paused: list[tuple[str, Any]] = [("queue", Queue), ("pool", WorkerPool)]
    for noun, model in paused:
        for row in model.objects.filter(name__in=case.names, is_paused=True)[: changes.MOST]:
            title, key = _("%(name)s is paused") % {"name": row.name}, f"{noun} {row._meta.label_lower}:{row.pk}"
            yield Suspect(key, title, 0.95, row.paused_at, least=1.0, evidence=(row.pause_reason,))
    for pause in KindPause.objects.order_by("-paused_at")[: changes.MOST]:
        title, key = _("%(name)s is paused") % {"name": pause.kind}, f"kind scheduling.kind:{pause.kind}"
        # Its jobs may wait in any queue.
        yield Suspect(key, title, 0.95, pause.paused_at, {pause.kind}, 0.6, (pause.reason,))
    for drain in Drain.objects.filter(name__in=case.names)[: changes.MOST]:
        title = _("%(name)s is draining") % {"name": drain}
        yield Suspect(f"drain {drain}", title, 0.8, drain.started_at, least=1.0, evidence=(drain.reason,))


def _read_tenants(case: Case) -> Iterator[Suspect]:
    stopped = Q(is_paused=True) | Q(is_draining=True) | ~Q(status=TenantStatus.ACTIVE)
    for tenant in Tenant.objects.filter(stopped, pk__in=[case.tenant_id] if case.tenant_id else []):
        title = _("%(tenant)s is paused, drained or suspended") % {"tenant": tenant}
        reason = tenant.pause_reason or tenant.drain_reason or tenant.status_reason
        yield Suspect(f"tenant tenants.tenant:{tenant.pk}", title, 0.95, least=1.0, evidence=(reason,))
    used = LimitWarning.objects.filter(percent=100, at__range=(case.since, case.until)).select_related("tenant")
    for row in used.order_by("-at")[: changes.MOST]:
        names = {row.tenant.slug}
        yield Suspect(f"limit {row.tenant_id} {row.key}", f"{row.tenant}: {row}", 0.8, row.at, names)


def _read_circuits(case: Case) -> Iterator[Suspect]:
    rows = Circuit.objects.filter(Q(state__in=BLOCKING) | Q(opened_at__range=(case.since, case.until)))
    for circuit in rows.order_by("-opened_at")[: changes.MOST]:
        names = {circuit.kind, circuit.dependency, circuit.fingerprint} - {""}
        title = _("circuit breaker of %(circuit)s open") % {"circuit": circuit}
        # An investigation is stored in plain, so it does not have what is sealed.
        evidence = (circuit.error_type if is_sealing() else circuit.error_message, circuit.forced_reason)
        yield Suspect(
            f"circuit {circuit.pk}", title, 0.9, circuit.opened_at, names, 0.3, evidence, f"circuit:{circuit.pk}"
        )


def _read_gauges(case: Case) -> Iterator[Suspect]:
    span = (case.onset - timedelta(minutes=3), case.until)
    caps = {queue.pk: queue for queue in Queue.objects.filter(name__in=case.names).select_related("pool")}
    queues = QueueGauge.objects.filter(minute__range=span, queue__in=caps).order_by("queue_id", "-minute")
    for gauge in queues.distinct("queue_id")[: changes.MOST]:
        queue, used = caps[gauge.queue_id], gauge.dispatched + gauge.executing
        facts = {"name": queue.name, "used": used, "cap": queue.cap, "waiting": gauge.waiting}
        case.state.append(_("queue %(name)s: %(waiting)s jobs waiting, %(used)s in flight") % facts)
        if queue.cap is not None and gauge.waiting and max(used, gauge.slots_milli / 1000) >= queue.cap:
            title = _("queue %(name)s is at its cap of %(cap)s") % facts
            yield Suspect(f"queue scheduling.queue:{queue.pk}", title, 0.9, least=1.0)
    pools = PoolGauge.objects.filter(minute__range=span, pool__name__in=case.names).order_by("pool_id", "-minute")
    for full in pools.distinct("pool_id").select_related("pool")[: changes.MOST]:
        facts = {"name": full.pool.name, "slots": full.slots, "used": full.slots_milli // 1000}
        case.state.append(_("pool %(name)s: %(used)s of %(slots)s slots in use") % facts)
        if not full.slots or full.slots_milli >= 950 * full.slots:
            title = _("pool %(name)s is full or has no slots") % facts
            yield Suspect(
                f"slots {full.pool_id}", title, 0.5 if full.slots else 0.9, least=1.0, evidence=(case.state[-1],)
            )


def _read_platform(case: Case) -> Iterator[Suspect]:
    """Yield, for a tenant, whether the platform itself had a fault at the time, without its name."""
    if case.is_of_platform:
        return
    with all_tenants():
        faults = Alert.objects.filter(
            Q(resolved_at=None) | Q(resolved_at__gte=case.onset), tenant=None, about_tenant=None
        )
        within = faults.filter(pending_at__range=(case.since, case.until), facts__measure__in=list(changes.MEASURES))
        has_fault = within.exclude(object__type__in=["kind", "cause"]).exists()
    if has_fault:
        yield Suspect("platform", _("The platform itself had a fault at this time."), 0.7, least=1.0)


# Executions come first: they add the names that most of the failures have in common.
SOURCES = (
    Source(gettext_noop("executions"), _read_executions),
    Source(gettext_noop("submissions"), _read_submissions),
    Source(gettext_noop("audit log"), changes.read_audit),
    Source(gettext_noop("workers"), changes.read_workers, is_of_platform=True),
    Source(gettext_noop("incidents"), changes.read_incidents, is_of_platform=True),
    Source(gettext_noop("alerts"), changes.read_alerts),
    Source(gettext_noop("anomalies"), changes.read_anomalies),
    Source(gettext_noop("pauses"), _read_stops, is_of_platform=True),
    Source(gettext_noop("tenants"), _read_tenants),
    Source(gettext_noop("circuit breakers"), _read_circuits),
    Source(gettext_noop("gauges"), _read_gauges, is_of_platform=True),
    Source(gettext_noop("schedules"), changes.read_fires),
    Source(gettext_noop("platform"), _read_platform),
)
