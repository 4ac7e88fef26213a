"""Measures: each finds the condition that is planted, and nothing without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from scheduling.alerts import sources
from scheduling.alerts.causes import count_causes
from scheduling.alerts.incidents import count_incident, flush_incidents
from scheduling.alerts.measures import measures
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import (
    AlertCause,
    Circuit,
    Compensation,
    JobError,
    KindCost,
    KindMinute,
    OutboxMessage,
    OutboxRoute,
    PoolClock,
    ProcessHeartbeat,
    Queue,
    QueueGauge,
    QueueMinute,
    QueueStanding,
    TenantGauge,
    TenantMinute,
    UpkeepRun,
)
from scheduling.statistics import histogram
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor
from tenants.models import LimitWarning, Tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def found(measure: str) -> dict[str, float]:
    with all_tenants():
        return {sample.object_key: sample.value for sample in measures()[measure].read(read_clock())}


def queue() -> Queue:
    return Queue.objects.get(name="pipeline")


def plant_wait(now: datetime, tenant: Tenant) -> None:
    values = {"minute": now.replace(second=0, microsecond=0), "queue": queue(), "sampled_at": now}
    QueueGauge.objects.create(oldest_at=now - timedelta(seconds=400), **values)
    TenantGauge.objects.create(tenant=tenant, oldest_at=now - timedelta(seconds=300), **values)


def plant_unread(now: datetime, tenant: Tenant) -> None:
    QueueStanding.objects.update_or_create(queue=queue(), defaults={"unread_since": now - timedelta(seconds=20)})


def plant_broker(now: datetime, tenant: Tenant) -> None:
    PoolClock.objects.filter(pool__name="default").update(broker_away_at=now, publish_fault="OOM")


def plant_failures(now: datetime, tenant: Tenant) -> None:
    empty = [0] * histogram.BUCKETS
    values = {"minute": now.replace(second=0, microsecond=0), "queue": queue(), "wait": empty, "run": empty}
    QueueMinute.objects.create(completed=30, failed=10, **values)
    TenantMinute.objects.create(tenant=tenant, completed=10, failed=10, **values)
    KindMinute.objects.create(tenant=tenant, kind="noop", completed=10, failed=30, **values)


def plant_errors(now: datetime, tenant: Tenant) -> None:
    JobError.objects.bulk_create(
        JobError(
            id=uuid7_floor(now - timedelta(seconds=10 + number)),
            tenant=tenant,
            job_id=uuid4(),
            kind="noop",
            error_type="E",
            error_message="boom",
            error_fingerprint="abc",
            at=now,
        )
        for number in range(4)
    )
    position = count_causes(None, now)
    assert count_causes(position, now) == position


def plant_breaker(now: datetime, tenant: Tenant) -> None:
    for owner in (None, tenant):
        Circuit.objects.create(
            tenant=owner,
            kind="noop",
            dependency="api",
            holds_all=False,
            state="open",
            failures=9,
            fingerprint="f",
            error_type="E",
            error_message="secret of a tenant" if owner else "down",
            counted_from=now,
            opened_at=now - timedelta(seconds=30 if owner else 10),
        )


def plant_warning(now: datetime, tenant: Tenant) -> None:
    for percent in (80, 100):
        LimitWarning.objects.create(
            tenant=tenant, key="jobs", period=now.date().replace(day=1), percent=percent, used=1, allowed=1
        )


def plant_finding(now: datetime, tenant: Tenant) -> None:
    for name, outcome in (("verify_state", "failed"), ("verify_counters", "ok")):
        UpkeepRun.objects.create(
            name=name, outcome=outcome, error="x", started_at=now, finished_at=now, lease_expires_at=now
        )


def plant_incident(now: datetime, tenant: Tenant) -> None:
    count_incident("rescued", "lease", 2)
    count_incident("republished", count=2)
    assert flush_incidents() == 2
    assert flush_incidents() == 0


def plant_prediction(now: datetime, tenant: Tenant) -> None:
    KindCost.objects.update_or_create(
        kind="noop", defaults={"mean_us": 1, "samples": 1, "total_us": 1_000, "error_us": 500}
    )


def plant_outbox(now: datetime, tenant: Tenant) -> None:
    route = {"topic": "*", "adapter": "redis_stream", "target": "orders", "tenant": tenant}
    used = OutboxRoute.objects.create(name="used", **route)
    unused = OutboxRoute.objects.create(name="unused", is_enabled=False, **route)
    message = {"tenant": tenant, "job_id": uuid4(), "topic": "order.paid", "body": {}}
    for state, at, seconds in (("pending", used, 120), ("pending", unused, 600), ("delivered", used, 600)):
        OutboxMessage.objects.create(route=at, state=state, created_at=now - timedelta(seconds=seconds), **message)
    for hours in (0.5, 0.9, 1.1):
        OutboxMessage.objects.create(route=used, state="dead", ended_at=now - timedelta(hours=hours), **message)


def plant_compensations(now: datetime, tenant: Tenant) -> None:
    for state in ("needs_attention", "needs_attention", "running", "settled"):
        Compensation.objects.create(
            tenant=tenant, owner_type="batch", owner_id=uuid4(), work="charge", kind="noop", state=state, done_at=now
        )


T = "{tenant}"
CASES: dict[str, tuple[Callable[[datetime, Tenant], None], dict[str, float]]] = {
    "oldest_wait": (plant_wait, {"queue:pipeline": 400, f"tenant:{T}": 300}),
    "queue_without_consumer": (plant_unread, {"queue:pipeline": 20}),
    "pool_without_worker": (plant_unread, {"pool:default": 1}),
    "broker_away": (plant_broker, {"check:broker": 1}),
    "failure_rate": (
        plant_failures,
        {"queue:pipeline": 0.25, f"tenant:{T}": 0.5, "kind:noop": 0.75, f"kind:noop@{T}": 0.75},
    ),
    "new_cause": (plant_errors, {f"cause:abc@{T}": 4, "cause:abc": 4}),
    "failures_of_cause": (plant_errors, {f"cause:abc@{T}": 4, "cause:abc": 4}),
    "breaker_open": (plant_breaker, {f"kind:noop@{T}": 30, "kind:noop": 30}),
    "limit_used": (plant_warning, {f"tenant:{T}:jobs": 100}),
    "eta_error": (plant_prediction, {"kind:noop": 0.5}),
    "outbox_age": (plant_outbox, {f"tenant:{T}": 120}),
    "outbox_dead": (plant_outbox, {f"tenant:{T}": 2}),
    "compensations_stuck": (plant_compensations, {f"tenant:{T}": 2}),
    "incident": (plant_incident, {"incident:rescued": 2}),
}


@pytest.mark.parametrize("measure", CASES)
def test_measure_finds_what_is_planted_and_nothing_else(measure: str, acme: Tenant) -> None:
    plant, expected = CASES[measure]
    assert found(measure) == {}
    with all_tenants():
        plant(read_clock(), acme)
    assert found(measure) == {key.format(tenant=acme.pk): value for key, value in expected.items()}


def test_wait_that_the_newest_sample_does_not_have_is_over(acme: Tenant) -> None:
    with all_tenants():
        now = read_clock()
        plant_wait(now - timedelta(minutes=1), acme)
        this = {"minute": now.replace(second=0, microsecond=0), "queue": queue(), "sampled_at": now}
        QueueGauge.objects.create(**this)
        TenantGauge.objects.create(tenant=acme, **this)
    assert found("oldest_wait") == {}


def test_wait_in_a_paused_queue_is_none(acme: Tenant) -> None:
    with all_tenants():
        plant_wait(read_clock(), acme)
        Queue.objects.filter(name="pipeline").update(is_paused=True)
    assert found("oldest_wait") == {}


def test_minutes_after_the_present_one_do_not_count(acme: Tenant) -> None:
    # They remain if the clock of PostgreSQL is set back.
    with all_tenants():
        later = read_clock() + timedelta(minutes=5)
        plant_wait(later, acme)
        plant_failures(later, acme)
    assert found("oldest_wait") == found("failure_rate") == {}


def test_integrity_is_the_last_result_of_each_verification(acme: Tenant) -> None:
    before = set(found("integrity"))
    with all_tenants():
        plant_finding(read_clock(), acme)
    assert set(found("integrity")) - before == {"check:verify_state"}
    with all_tenants():
        UpkeepRun.objects.filter(name="verify_state").update(outcome="ok")
    assert set(found("integrity")) == before


def test_auditor_is_missed_after_the_time_that_it_may_need_to_start() -> None:
    with all_tenants():
        ProcessHeartbeat.objects.all().delete()
        now = read_clock()
        values = {"role": "dispatcher", "hostname": "one", "pid": 1, "heartbeat_at": now, "clock_skew_seconds": 0.0}
        ProcessHeartbeat.objects.create(started_at=now - timedelta(seconds=20), **values)
    assert "check:auditor" not in found("integrity")
    with all_tenants():
        ProcessHeartbeat.objects.update(started_at=now - timedelta(seconds=40))
    assert "check:auditor" in found("integrity")


def test_old_cause_of_another_tenant_is_not_new(acme: Tenant, globex: Tenant) -> None:
    with all_tenants():
        now = read_clock()
        plant_errors(now, acme)
        AlertCause.objects.create(
            tenant=globex,
            fingerprint="abc",
            kind="noop",
            message="boom",
            job_id=uuid4(),
            first_at=now - timedelta(days=1),
            last_at=now,
            count=1,
        )
    assert found("new_cause") == {}


def test_cause_belongs_to_the_template_kind_and_queue_of_its_first_failed_job(acme: Tenant) -> None:
    with tenant_context(acme):
        job = submit_job(tenant=acme, request=JobRequest(kind="noop", payload={}, meta={"template": "nightly@3"})).job
    with all_tenants():
        plant_errors(read_clock(), acme)
        AlertCause.objects.update(job_id=job.pk)
        samples = list(measures()["new_cause"].read(read_clock()))
    assert {sample.parents for sample in samples} == {("template:nightly", "kind:noop", f"queue:{job.queue.name}")}


def test_broker_that_does_not_answer_is_away_before_a_dispatcher_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found("broker_away") == {}
    monkeypatch.setattr(sources, "find_silence", lambda: "Timeout reading from socket")
    assert found("broker_away") == {"check:broker": 1.0}


def test_checks_fail_in_an_installation_without_processes() -> None:
    # Outside of a scope, as the evaluator reads it.
    keys = {sample.object_key: sample for sample in measures()["check"].read(datetime.now().astimezone())}
    assert "check:dispatcher" in keys
    assert keys["check:dispatcher"].value == 2
    assert not {key for key in keys if key.startswith(("check:workers", "check:broker", "check:auditor"))}


@pytest.mark.parametrize("name", [name for name in measures() if name != "check"])
def test_every_measure_can_be_read(name: str, acme: Tenant) -> None:
    found(name)
