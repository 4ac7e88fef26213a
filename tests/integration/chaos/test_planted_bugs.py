"""Bugs planted in the product: each checker detects its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from django.db import connection
from rest_framework.test import APIClient

from scheduling.dispatch import claim, collect, read
from scheduling.exceptions import FenceLostError
from scheduling.execution import checkpoints, rescue, settlement, settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from tenants import transactions
from tenants.context import all_tenants
from tenants.models import Tenant
from tenants.tenancy.service import update_tenant
from tests.chaos.checks import CHECKS, judge
from tests.chaos.history import History, Reply, Request
from tests.chaos.terms import Terms
from tests.checks import faults_of
from tests.integration.chaos.conftest import Platform

pytestmark = pytest.mark.django_db(transaction=True)

# More steps than any scene needs.
TICKS = 6
CAP = "coalesce(t.max_concurrency, p.max_concurrency)"


def a_zombie_writes(platform: Platform, acme: Tenant) -> Terms:
    """Let a worker lose its lease, let its job start again, then let the first worker write its next step."""
    (request,) = platform.submit(acme, steps=2)
    platform.tick()
    zombie = platform.begin(request)
    platform.step(zombie, 0)
    platform.lose_workers()
    platform.tick()
    again = platform.begin(request)
    try:
        platform.step(zombie, 1)
    except FenceLostError:
        platform.step(again, 1)
    platform.complete(again)
    return Terms()


def a_job_is_settled_twice(platform: Platform, acme: Tenant) -> Terms:
    """Settle the same execution twice, as after a COMMIT whose answer was lost."""
    (request,) = platform.submit(acme)
    platform.tick()
    started = platform.begin(request)
    platform.step(started)
    platform.complete(started)
    settlement.settle([Settlement.completed(started.execution_id, started.fence, None)])
    platform.tick()
    if is_dispatched(request):
        platform.complete(platform.begin(request))
    return Terms()


def a_worker_is_lost(platform: Platform, acme: Tenant) -> Terms:
    """Lose a worker; its job runs again and ends if it is rescued."""
    (request,) = platform.submit(acme)
    platform.tick()
    platform.begin(request)
    platform.lose_workers()
    platform.tick()
    if is_dispatched(request):
        started = platform.begin(request)
        platform.step(started)
        platform.complete(started)
    return Terms()


def three_jobs_wait_under_a_cap_of_one(platform: Platform, acme: Tenant) -> Terms:
    """Start all dispatched jobs at once, and end them when no more are dispatched."""
    update_tenant(tenant=acme, changes={"max_concurrency": 1})
    platform.submit(acme, 3)
    for _ in range(TICKS):
        platform.tick()
        for started in platform.begin_all():
            platform.step(started)
            platform.complete(started)
    return Terms(caps={acme.pk: [(acme.created_at, 1)]})


def is_dispatched(request: Request) -> bool:
    (job_id,) = request.job_ids
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT state = 'dispatched' FROM scheduling_job WHERE id = %s", [job_id])
        return bool(cursor.fetchone()[0])


def a_job_runs(platform: Platform, acme: Tenant) -> Terms:
    platform.run(*platform.submit(acme))
    return Terms()


def a_job_fails_as_often_as_it_may(platform: Platform, acme: Tenant) -> Terms:
    (request,) = platform.submit(acme, failures=4)
    for _ in range(5):
        platform.let_back_offs_pass()
        platform.tick()
        if is_dispatched(request):
            platform.fail(platform.begin(request))
    return Terms()


def a_job_fails_once(platform: Platform, acme: Tenant) -> Terms:
    """Fail a job once; it completes in its second attempt if it gets one."""
    (request,) = platform.submit(acme, failures=1)
    platform.tick()
    platform.fail(platform.begin(request))
    platform.let_back_offs_pass()
    platform.tick()
    if is_dispatched(request):
        platform.complete(platform.begin(request))
    return Terms()


type Scene = Callable[[Platform, Tenant], Terms]
SCENES: tuple[Scene, ...] = (
    a_zombie_writes,
    a_job_is_settled_twice,
    a_worker_is_lost,
    three_jobs_wait_under_a_cap_of_one,
    a_job_runs,
    a_job_fails_as_often_as_it_may,
    a_job_fails_once,
)


def no_fence_at_checkpoints(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checkpoints, "_CHECKPOINT", checkpoints._CHECKPOINT.replace("fence = %", "fence >= %"))


def completed_jobs_wait_again(patch: pytest.MonkeyPatch) -> None:
    completed = Settlement.completed
    patch.setattr(Settlement, "completed", lambda *args: replace(completed(*args), state=JobState.AVAILABLE))


def leases_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rescue, "_LOST", rescue._LOST.replace("< now()", "< '-infinity'"))


def caps_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    for module, name in ((claim, "_RESERVE"), (read, "_TENANTS_FAIR"), (collect, "_FOLD_TENANTS")):
        patch.setattr(module, name, getattr(module, name).replace(CAP, "1000"))


def dispatch_tells_another_state(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        claim, "_CLAIM", claim._CLAIM.replace("'job.dispatched', 'dispatched'", "'job.dispatched', 'retryable'")
    )


def retries_never_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement_builders, "retry_delay_seconds", lambda *args, **options: 1.0)


def no_attempt_is_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settlement_builders, "retry_delay_seconds", lambda *args, **options: None)


def lost_workers_count_attempts(patch: pytest.MonkeyPatch) -> None:
    crashed = settlement_builders.crashed
    patch.setattr(
        settlement_builders,
        "crashed",
        lambda *args, **more: replace(crashed(*args, **more), event="execution.failed", attempt_delta=1),
    )


def charges_are_an_hour_more(patch: pytest.MonkeyPatch) -> None:
    """Add an hour to each charge, as when the wall clock steps during a job."""
    honest = "coalesce(whole_us, predicted_us), measured_us,"
    assert honest in settlement._SETTLE_ONE
    stepped = settlement._SETTLE_ONE.replace(honest, honest.replace("measured_us,", "measured_us + 3600000000,"))
    patch.setattr(settlement, "_SETTLE_ONE", stepped)


PLANTED: Mapping[str, tuple[Callable[[pytest.MonkeyPatch], None], Scene]] = {
    "I2 no zombie effects": (no_fence_at_checkpoints, a_zombie_writes),
    "I2 one completion": (completed_jobs_wait_again, a_job_is_settled_twice),
    "I1 nothing lost": (leases_never_end, a_worker_is_lost),
    "I3 caps": (caps_are_not_looked_at, three_jobs_wait_under_a_cap_of_one),
    "I7 transitions": (dispatch_tells_another_state, a_job_runs),
    "I8 attempts": (retries_never_end, a_job_fails_as_often_as_it_may),
    "usage": (charges_are_an_hour_more, a_job_runs),
    "I1 completed": (no_attempt_is_left, a_job_fails_once),
    "I8 attempts on purpose": (lost_workers_count_attempts, a_worker_is_lost),
}


@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__ for scene in SCENES])
def test_product_without_planted_bugs_passes_every_check(platform: Platform, acme: Tenant, scene: Scene) -> None:
    terms = scene(platform, acme)
    assert judge(platform.history(), terms) == []
    platform.tick()
    assert faults_of("counters", "ready") == []
    assert faults_of("ledger") == []


@pytest.mark.parametrize("promise", PLANTED)
def test_planted_bug_is_found_by_its_checker(
    platform: Platform, acme: Tenant, monkeypatch: pytest.MonkeyPatch, promise: str
) -> None:
    plant, scene = PLANTED[promise]
    plant(monkeypatch)
    terms = scene(platform, acme)
    assert CHECKS[promise](platform.history(), terms)


def test_counter_off_by_one_is_found(platform: Platform, acme: Tenant) -> None:
    a_job_runs(platform, acme)
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("UPDATE scheduling_schedulingentity SET waiting = waiting + 1")
    assert faults_of("counters", "ready")


def test_settlement_without_the_charges_correction_is_found(
    platform: Platform, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = settlement._SETTLE_ONE.replace("-\n" + settlement._SQL["predicted_charge"], "", 1)
    assert forgetful != settlement._SETTLE_ONE
    monkeypatch.setattr(settlement, "_SETTLE_ONE", forgetful)
    a_job_runs(platform, acme)
    assert faults_of("ledger")


@pytest.mark.urls("tests.integration.tenants.probe_urls")
@pytest.mark.parametrize("is_planted", [False, True])
def test_lost_session_is_answered_by_500_only_if_planted(
    acme: Tenant, api_client: Callable[[Tenant], APIClient], monkeypatch: pytest.MonkeyPatch, is_planted: bool
) -> None:
    if is_planted:
        monkeypatch.setattr(transactions, "is_lost", lambda *args: False)
    client = api_client(acme)
    client.raise_request_exception = False
    response = client.post("/api/v1/probe/", {"how": "idle"})
    reply = Reply(0.0, response.status_code, has_retry_after="Retry-After" in response.headers)
    history = History([Request(acme.pk, "noop", {}, "key", replies=[reply])], [], [])
    assert bool(CHECKS["I12 answers"](history, Terms())) is is_planted
