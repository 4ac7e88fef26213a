"""Measures of the platform's own rollups, gauges and checks."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Min, Q, Sum
from django.utils.translation import gettext_lazy as _
from psycopg.rows import args_row

from scheduling.alerts.incidents import LEAST
from scheduling.alerts.measures import ALERT_ACTOR, Measure
from scheduling.alerts.rules import PRIVATE, Per, Sample
from scheduling.breakers.rules import BLOCKING
from scheduling.diagnosis.service import Health, diagnose
from scheduling.dispatch.broker_probes import find_silence
from scheduling.errors.queries import group_errors
from scheduling.exceptions import UpkeepUnavailableError
from scheduling.fleet.auditors import ABSENT_AFTER_SECONDS, find_auditor_fault
from scheduling.fleet.queries import read_liveness
from scheduling.fleet.queue_consumers import queues_without_consumer
from scheduling.models import AlertCause, Circuit, Job, PlatformIncident, PoolClock, ProcessHeartbeat, UpkeepRun
from scheduling.shares.history import HistorySpan, read_share_history
from scheduling.shares.verdicts import EntitlementState
from scheduling.statistics.costs import read_kind_costs
from scheduling.statistics.gauge_queries import LATEST_AGE
from scheduling.upkeep.runs import request_upkeep
from scheduling.upkeep.status import read_upkeep
from scheduling.upkeep.tenant_runs import AUDIT_TASK
from tenants.audit.tail import verify_tails
from tenants.context import acting_as
from tenants.database.prepared import fetch_all
from tenants.database.sql import load_sql
from tenants.encryption.fields import is_sealing
from tenants.models import LimitWarning, Tenant

WINDOW = timedelta(minutes=5)
# A cause is new for this time; a report of an absent broker is current for this time.
NEW, AWAY = WINDOW, timedelta(seconds=10)
# Fewer ended executions give no reliable rate.
LEAST_ENDED = 20
# Slugs that an alert lists.
MOST_TENANTS = 10
# Checks whose faults have measures of their own.
_MEASURED_CHECKS = ("auditor", "broker", "circuits", "consumers", "publishing", "recount", "workers")
_SQL = load_sql(__file__)
# A process requests the same verification once in this time.
VERIFIED_AGAIN_SECONDS = 900.0
_verified_again: dict[str, float] = {}


def _read_oldest_waits(now: datetime) -> list[Sample]:
    return _fetch("read_oldest_waits", now, LATEST_AGE)


def _fetch(statement: str, now: datetime, age: timedelta, **values: object) -> list[Sample]:
    return fetch_all(_SQL[statement], {"since": now - age, "now": now, **values}, args_row(Sample))


def _read_unread_queues(now: datetime) -> Iterator[Sample]:
    for standing in queues_without_consumer():
        queue = standing.queue
        seconds = (now - standing.unread_since).total_seconds() if standing.unread_since else 0.0
        yield Sample(f"queue:{queue.name}", seconds, queue.name, parents=(f"pool:{queue.pool.name}",))


def _read_pools_without_worker(now: datetime) -> Iterator[Sample]:
    unread = {standing.queue.pool.name for standing in queues_without_consumer()}
    for pool in read_liveness().pools if unread else ():
        if not pool.workers and pool.name in unread:
            yield Sample(f"pool:{pool.name}", 1.0, pool.name)


def _read_checks(now: datetime) -> Iterator[Sample]:
    severities = {Health.WARNING: 1.0, Health.FAILURE: 2.0}
    for check in diagnose().checks:
        if check.state in severities and check.code.partition(".")[0] not in _MEASURED_CHECKS:
            facts = {"message": check.measured[:500], "hint": check.hint[:500]}
            parents = ("check:broker",) if check.code == "starts" else ()
            yield Sample(f"check:{check.code}", severities[check.state], check.name, parents=parents, facts=facts)


def _read_broker(now: datetime) -> Iterator[Sample]:
    away = PoolClock.objects.filter(Q(broker_away_at__gt=now - AWAY) | Q(publish_failed_at__gt=now - AWAY))
    reported = list(away.values_list("publish_fault", flat=True)[:1])
    # The dispatchers report a server that does not answer only after several time-outs.
    silence = "" if reported else find_silence()
    if reported or silence:
        yield Sample("check:broker", 1.0, "Redis", facts={"message": (silence or reported[0])[:500]})


def _read_failure_rates(now: datetime) -> list[Sample]:
    return _fetch("read_failure_rates", now, WINDOW, least=LEAST_ENDED)


def _read_new_causes(now: datetime) -> Iterator[Sample]:
    new = list(AlertCause.objects.filter(first_at__gt=now - NEW).select_related("tenant").order_by("first_at")[:1_000])
    # To the platform a cause is new if no tenant had it before.
    older = AlertCause.objects.filter(first_at__lte=now - NEW, fingerprint__in={cause.fingerprint for cause in new})
    known = set(older.order_by().values_list("fingerprint", flat=True))
    return _causes(
        (cause.fingerprint, cause.kind, cause.tenant, cause.count, cause.message, cause.job_id)
        for cause in new
        if cause.fingerprint not in known
    )


def _read_failures_of_causes(now: datetime) -> Iterator[Sample]:
    groups = group_errors(since=now - WINDOW, until=now).groups
    tenants = Tenant.objects.in_bulk({group.tenant_id for group in groups})
    return _causes(
        (one.fingerprint, one.kind, tenants[one.tenant_id], one.count, one.message[:200], one.job_id)
        for one in groups
        if one.fingerprint
    )


def _causes(rows: Iterable[tuple[str, str, Tenant, int, str, UUID]]) -> Iterator[Sample]:
    """Yield a sample of each cause for each tenant, and one for the platform with all tenants."""
    found = list(rows)
    jobs = Job.objects.filter(pk__in={job_id for *_, job_id in found})
    places = {
        pk: ([f"template:{template.partition('@')[0]}"] if template else [], f"queue:{queue}")
        for pk, queue, template in jobs.values_list("pk", "queue__name", "meta__template")
    }
    merged = defaultdict(list)
    for fingerprint, kind, tenant, count, text, job_id in found:
        # Alerts are sent and stored in plain, so they do not have what is sealed.
        message = text if text and not is_sealing() else f"{kind}: {fingerprint}"
        template, *queue = places.get(job_id, ([],))
        parents = (*template, f"kind:{kind}", *queue)
        facts = {"message": message, "job": str(job_id), "fingerprint": fingerprint}
        merged[fingerprint].append((tenant, count, parents, facts))
        key = f"cause:{fingerprint}{PRIVATE}{tenant.pk}"
        yield Sample(key, count, message[:100], tenant.pk, parents, facts=facts)
    for fingerprint, parts in merged.items():
        slugs = sorted({tenant.slug for tenant, *_ in parts})
        total = sum(count for _, count, *_ in parts)
        _, _, parents, facts = parts[0]
        shown = tuple(slugs[:MOST_TENANTS])
        yield Sample(f"cause:{fingerprint}", total, facts["message"][:100], None, parents, shown, len(slugs), facts)


def _read_open_breakers(now: datetime) -> Iterator[Sample]:
    worst: dict[str, Sample] = {}
    for circuit in Circuit.objects.filter(state__in=BLOCKING, opened_at__isnull=False).select_related("tenant")[:1_000]:
        assert circuit.opened_at is not None  # others are not read
        seconds, key = (now - circuit.opened_at).total_seconds(), f"kind:{circuit.kind}"
        label = f"{circuit.kind} ({circuit.dependency})" if circuit.dependency else circuit.kind
        message = circuit.error_type if is_sealing() else circuit.error_message
        facts = {"message": message, "dependency": circuit.dependency}
        if circuit.tenant is not None:
            yield Sample(f"{key}{PRIVATE}{circuit.tenant_id}", seconds, label, circuit.tenant_id, facts=facts)
            label, facts = circuit.kind, {"message": message}
        if key not in worst or worst[key].value < seconds:
            worst[key] = Sample(key, seconds, label, facts=facts)
    yield from worst.values()


def _read_limits(now: datetime) -> Iterator[Sample]:
    warned = LimitWarning.objects.filter(period=now.date().replace(day=1)).select_related("tenant").order_by()
    for row in warned.values("tenant", "tenant__slug", "key").annotate(percent=Max("percent"), at=Min("at")):
        key, label = f"tenant:{row['tenant']}:{row['key']}", f"{row['tenant__slug']}: {row['key']}"
        yield Sample(key, row["percent"], label, row["tenant"], (f"tenant:{row['tenant']}",))


def _read_shares(now: datetime) -> Iterator[Sample]:
    for line in read_share_history(HistorySpan.RECENT, limit=1_000, now=now).lines:
        if line.verdict is EntitlementState.BELOW and line.ratio is not None:
            yield Sample(f"tenant:{line.tenant_id}", line.ratio, line.slug, line.tenant_id)


def _read_prediction_errors(now: datetime) -> Iterator[Sample]:
    for kind, cost in read_kind_costs().items():
        if error := cost.mean_error:
            yield Sample(f"kind:{kind}", error, kind)


def _read_upkeep(now: datetime) -> Iterator[Sample]:
    for line in read_upkeep():
        if line.has_failed or line.is_overdue:
            message = line.last.messages[:1] if line.last is not None else []
            facts = {"message": " ".join(message)[:500]}
            yield Sample(f"task:{line.task.name}", 2.0 if line.has_failed else 1.0, line.task.name, facts=facts)


def _read_integrity(now: datetime) -> Iterator[Sample]:
    ended = UpkeepRun.objects.filter(name__startswith="verify_", outcome__in=["ok", "failed"])
    for run in ended.order_by("name", "-id").distinct("name"):
        if run.outcome == UpkeepRun.Outcome.FAILED:
            yield Sample(f"check:{run.name}", 1.0, run.name, facts={"message": " ".join(run.messages)[:500]})
    if findings := verify_tails():
        # Not in the transaction that other measures share.
        transaction.on_commit(_request_verification)
        yield Sample("check:audit", 1.0, "audit", facts={"message": findings[0].detail[:500]})
    if _has_run_for_long(now) and (fault := find_auditor_fault()):
        yield Sample("check:auditor", 1.0, "auditor", facts={"message": fault})


def _has_run_for_long(now: datetime) -> bool:
    """Return whether the platform was not just started: its auditor may need as long as an absence takes to count."""
    began, seen = now - timedelta(seconds=ABSENT_AFTER_SECONDS), now - 4 * timedelta(seconds=ABSENT_AFTER_SECONDS)
    return ProcessHeartbeat.objects.filter(started_at__lt=began, heartbeat_at__gt=seen).exists()


def _request_verification() -> None:
    """Request the whole verification: its run keeps the alert firing after the altered entry is no new one any more."""
    now = time.monotonic()
    if now < _verified_again.get(AUDIT_TASK, 0.0):
        return
    _verified_again[AUDIT_TASK] = now + VERIFIED_AGAIN_SECONDS
    with suppress(UpkeepUnavailableError), acting_as(ALERT_ACTOR):
        request_upkeep(name=AUDIT_TASK)


def _read_incidents(now: datetime) -> Iterator[Sample]:
    recent = PlatformIncident.objects.filter(minute__gt=now - WINDOW).order_by().values("name")
    for row in recent.annotate(total=Sum("count"), detail=Max("detail")):
        if row["total"] >= LEAST.get(row["name"], 1):
            yield Sample(f"incident:{row['name']}", row["total"], row["name"], facts={"message": row["detail"]})


_C, _K, _Q, _S, _T = (Per.CAUSE,), (Per.KIND,), (Per.QUEUE,), (Per.CHECK,), (Per.TENANT,)
MEASURES = (
    Measure("oldest_wait", _("Oldest wait"), "s", (*_Q, *_T), _read_oldest_waits, 1.0, tenants_per=_T),
    Measure(
        "queue_without_consumer", _("Queue without a consumer"), "s", _Q, _read_unread_queues, needs_heartbeats=True
    ),
    Measure(
        "pool_without_worker", _("Pool without a live worker"), "", (Per.POOL,), _read_pools_without_worker, most=1.0,
        needs_heartbeats=True,
    ),
    Measure(
        "check", _("Self-diagnosis: 1 warning, 2 failure"), "", _S, _read_checks, most=2.0, seconds=10.0,
        needs_heartbeats=True, is_unscoped=True,
    ),
    Measure("broker_away", _("Broker away"), "", _S, _read_broker, most=1.0),
    Measure(
        "failure_rate", _("Failure rate of five minutes"), "", (*_K, *_Q, *_T), _read_failure_rates, most=1.0,
        tenants_per=(*_K, *_T),
    ),
    Measure("new_cause", _("Failures of a new cause"), "", _C, _read_new_causes, tenants_per=_C),
    Measure(
        "failures_of_cause", _("Failures of a cause in five minutes"), "", _C, _read_failures_of_causes, seconds=10.0,
        tenants_per=_C,
    ),
    Measure("breaker_open", _("Circuit breaker open"), "s", _K, _read_open_breakers, tenants_per=_K),
    Measure("limit_used", _("Use of a limit"), "%", _T, _read_limits, most=100.0, seconds=30.0, tenants_per=_T),
    Measure("share", _("Share of the entitlement"), "", _T, _read_shares, seconds=30.0, is_low_bad=True),
    Measure("eta_error", _("Error of predicted times"), "", _K, _read_prediction_errors, seconds=60.0),
    Measure("upkeep", _("Upkeep: 1 overdue, 2 failed"), "", (Per.TASK,), _read_upkeep, most=2.0, seconds=30.0),
    Measure("integrity", _("Verification that found a fault"), "", _S, _read_integrity, most=1.0, seconds=10.0),
    Measure("incident", _("Incidents in five minutes"), "", (Per.INCIDENT,), _read_incidents),
)  # fmt: skip
