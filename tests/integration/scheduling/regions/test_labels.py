"""Labels of data: jobs about it run only in regions that the label and the tenant allow."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now

from scheduling.bulk.turns import open_operations, take_turn
from scheduling.dispatch import pick
from scheduling.dispatch.tick import run_tick
from scheduling.execution.start import start_execution
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job, submit_jobs
from scheduling.models import Execution, Job, JobHeld, JobReady, JobSubject, LiveExecution, Queue, RegionLabel, Worker
from scheduling.regions import labels
from scheduling.regions.exceptions import RegionNotAllowedError, RegionsJustChangedError
from scheduling.regions.labels import label_data
from scheduling.topology.service import update_worker_pool
from tenants.context import all_tenants, tenant_context
from tenants.database.ids import uuid7
from tenants.database.sql import load_sql
from tenants.models import Tenant
from tests.integration.scheduling.bulk.conftest import take_turns
from tests.integration.scheduling.job_helpers import in_flight, reasons_of, reload, submit
from tests.integration.scheduling.regions.conftest import allow, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout", "labels_change_often")]
DATA, OTHER = uuid7(), uuid7()


def about(tenant: Tenant, subject: UUID = DATA) -> Job:
    return submit_job(tenant=tenant, request=JobRequest(kind="noop", subject=subject)).job


def label(tenant: Tenant, *allowed: str, home: str = "", subject: UUID = DATA) -> None:
    with tenant_context(tenant):
        label_data(tenant_id=tenant.pk, subject=subject, home=home, allowed=allowed)


def tick_of(queue: Queue) -> int:
    with all_tenants():
        Worker.objects.update(heartbeat_at=Now())  # on a busy machine a test takes longer than a heartbeat is valid
    return run_tick(queue.pool_id).dispatched


def test_submission_about_data_without_a_queue_in_its_regions_is_refused(acme: Tenant, us: Queue) -> None:
    route(us)
    label(acme, "eu")
    with pytest.raises(RegionNotAllowedError, match="in these regions only: eu"):
        about(acme)
    assert about(acme, OTHER).queue_id == us.pk
    assert submit(acme)[0].queue_id == us.pk


def test_submission_goes_only_to_regions_of_data_and_tenant(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="weighted")
    label(acme, "eu", "asia")
    assert {about(acme).queue_id for _ in range(10)} == {eu.pk}
    acme = allow(acme, "us")
    with pytest.raises(RegionNotAllowedError, match="only: none"):
        about(acme)


def test_home_region_of_data_precedes_that_of_the_tenant(acme: Tenant, us: Queue, eu: Queue) -> None:
    route(us, eu, balance="nearest")
    acme = allow(acme, home="us")
    label(acme, home="eu")
    assert about(acme).queue_id == eu.pk
    assert about(acme, OTHER).queue_id == us.pk


def test_request_with_and_without_subject_is_the_same_request() -> None:
    assert JobRequest("noop", subject=DATA).fingerprint() == JobRequest("noop").fingerprint()


def test_waiting_job_is_not_claimed_elsewhere_and_says_why(acme: Tenant, globex: Tenant, us: Queue) -> None:
    route(us)
    job, same, other = about(acme), about(acme), about(acme, OTHER)
    (foreign,) = submit(globex)
    label(acme, "eu")
    while tick_of(us):
        pass
    assert {each.pk for each in in_flight()} == {other.pk, foreign.pk}
    with all_tenants():
        gate = f"region {RegionLabel.objects.get().pk} {us.pool_id}"
        assert set(JobHeld.objects.values_list("job_id", "gate")) == {(job.pk, gate), (same.pk, gate)}
    with tenant_context(acme):
        reasons = {reason.code: reason.detail for reason in reasons_of(job)}
    assert "about its data may run in eu only" in reasons["region_not_allowed"]
    label(acme)
    while tick_of(us):
        pass
    assert reload(job).state == reload(same).state == "dispatched"


def test_gate_opens_when_the_pool_gets_an_allowed_region(acme: Tenant, us: Queue) -> None:
    route(us)
    job = about(acme)
    label(acme, "eu")
    assert tick_of(us) == 0
    with all_tenants():
        Worker.objects.update(status="stopped")
    update_worker_pool(pool=us.pool, changes={"region": "eu"})
    with all_tenants():
        Worker.objects.update(status="online")
    while tick_of(us):
        pass
    assert reload(job).state == "dispatched"


def test_dispatched_job_is_taken_back_when_its_data_may_no_longer_be_there(acme: Tenant, us: Queue) -> None:
    route(us)
    job, other = about(acme), about(acme, OTHER)
    assert tick_of(us) == 2
    with all_tenants():
        live = LiveExecution.objects.get(job_id=job.pk)
        worker = Worker.objects.get(hostname="us")
    label(acme, "eu")
    assert (reload(job).state, reload(other).state) == ("available", "dispatched")
    assert start_execution(execution_id=live.pk, token=live.token, worker_id=worker.pk) is None
    while tick_of(us):
        pass
    assert reload(job).state == "available"
    with all_tenants():
        assert Execution.objects.get(job_id=job.pk).outcome == "returned"


def test_reroute_moves_waiting_and_held_jobs_to_a_region_of_their_data(
    acme: Tenant, us: Queue, eu: Queue, no_settle_delay: None
) -> None:
    rule = route(us)
    jobs, other = [about(acme) for _ in range(3)], about(acme, OTHER)
    label(acme, "eu")
    while tick_of(us):
        pass
    with all_tenants():
        assert JobHeld.objects.count() == 3
        rule.delete()
    route(us, eu, balance="weighted")
    label(acme, "eu", home="eu")
    take_turns()
    assert {reload(job).queue_id for job in jobs} == {eu.pk}
    assert reload(other).queue_id == us.pk
    while tick_of(eu):
        pass
    assert {reload(job).state for job in jobs} == {"dispatched"}


def test_change_just_after_another_is_refused(acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "CHANGE_SECONDS", 60.0)
    label(acme, "eu")
    for subject, allowed in ((DATA, ["us"]), (OTHER, ["us"]), (DATA, [])):
        with pytest.raises(RegionsJustChangedError) as refused:
            label(acme, *allowed, subject=subject)
        assert refused.value.retry_after_seconds == 60
    label(acme, subject=OTHER)  # changes nothing
    label(globex, "us")
    with all_tenants():
        RegionLabel.objects.update(changed_at=Now() - timedelta(seconds=61))
    label(acme, subject=DATA)


def test_new_data_need_not_wait_and_stop_nothing(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "enforce_regions", lambda **_: pytest.fail("enforced"))
    monkeypatch.setattr(labels, "CHANGE_SECONDS", 60.0)
    with tenant_context(acme):
        for subject in (DATA, OTHER):
            label_data(tenant_id=acme.pk, subject=subject, allowed=["eu"], has_jobs=False)


def test_changes_extend_a_reroute_that_runs(acme: Tenant, us: Queue, eu: Queue, no_settle_delay: None) -> None:
    route(us, eu, balance="weighted")
    jobs = [about(acme) for _ in range(24)]  # by chance in both queues
    label(acme, "us")
    (first,) = open_operations()
    take_turn(first)
    label(acme, "eu")
    assert [found.id for found in open_operations()] == [first.id]
    take_turns()
    assert {reload(job).queue_id for job in jobs} == {eu.pk}


def test_labels_of_another_tenant_do_not_apply(acme: Tenant, globex: Tenant, us: Queue) -> None:
    route(us)
    label(globex, "eu")
    job = about(acme)
    assert tick_of(us) == 1
    assert reload(job).state == "dispatched"


def test_bulk_submission_stores_the_data_of_each_job(acme: Tenant, us: Queue) -> None:
    route(us)
    requests = [JobRequest("noop", subject=DATA), JobRequest("noop"), JobRequest("noop", subject=OTHER)]
    done = submit_jobs(tenant=acme, requests=requests)
    with all_tenants():
        found = dict(JobSubject.objects.values_list("job_id", "subject"))
    first, _, third = (submission.job.pk for _, submission in done.accepted)
    assert found == {first: DATA, third: OTHER}


def test_read_of_jobs_of_a_tenant_without_a_label_looks_up_no_data(acme: Tenant, globex: Tenant, us: Queue) -> None:
    route(us)
    about(acme)
    label(globex, "eu")
    statement = load_sql(pick.__file__)["read_rows"]
    with all_tenants(), connection.cursor() as cursor:
        lines = list(JobReady.objects.values_list("entity_id", flat=True))
        values = {"entity_ids": lines, "asked": [10], "kind": None, "needs": pick.memory_gate_parameters()}
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {statement}", values)
        plan = [line for (line,) in cursor.fetchall()]
    reads = [line for line in plan if "scheduling_job_subject" in line]
    assert reads
    assert all("never executed" in line for line in reads), plan
    labels = [line for line in plan if "scheduling_region_label" in line and "never executed" not in line]
    assert len(labels) == 1, plan
