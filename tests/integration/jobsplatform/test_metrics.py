"""Metrics: every documented metric exists, moves on a real act, and costs few statements."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from jobsplatform.health import metrics as module
from jobsplatform.settings.env import BASE_DIR
from scheduling.dispatch.tick import run_tick
from scheduling.execution import settlement_builders
from scheduling.execution.leases import heartbeat
from scheduling.execution.settlement import Settlement, settle
from scheduling.execution.start import start_execution
from scheduling.fleet.processes import ProcessPulse
from scheduling.fleet.workers import Registration, register_worker
from scheduling.jobs.cancellation import cancel_jobs
from scheduling.jobs.submission import JobRequest, submit_jobs
from scheduling.jobs.suspension import resume_job, suspend_job
from scheduling.models import Alert, AlertClock, Job, LiveExecution, ProcessHeartbeat, Worker, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.integration.console.shares import a_whole_minute_ago, note
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

QUEUE = 'queue="tasks_team"'
DOCUMENTED = re.compile(r"^\| `(jobsplatform_\w+)` \| (\w+) \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)


@pytest.fixture
def worker() -> Registration:
    """Register a worker with two slots whose canary has returned."""
    registered = register_worker(pool_name="default", hostname="here", pid=1, slots=2)
    heartbeat(worker_id=registered.worker_id, is_stopping=False, execution_ids=[], canary_age_seconds=1.0)
    return registered


def scrape_text(change_platform_settings: ChangePlatformSettings) -> str:
    change_platform_settings(METRICS_TOKEN="right")
    response = Client().get("/metrics", headers={"authorization": "Bearer right"})
    assert response.status_code == 200
    return response.content.decode()


def scrape(change_platform_settings: ChangePlatformSettings) -> dict[str, float]:
    """Return the samples as Prometheus reads them, by name with labels."""
    samples = re.findall(r"^(\w+(?:\{.*?\})?) (\S+)$", scrape_text(change_platform_settings), re.MULTILINE)
    return {name: float(value) for name, value in samples}


def submit(tenant: Tenant, count: int = 1, **options: object) -> list[Job]:
    requests = [JobRequest(kind="noop", payload={}, **options) for _ in range(count)]  # type: ignore[arg-type]
    with tenant_context(tenant):
        return [accepted.job for _, accepted in submit_jobs(tenant=tenant, requests=requests).accepted]


def tick() -> None:
    run_tick(WorkerPool.objects.get(name="default").pk)


def begin(worker: Registration) -> tuple[LiveExecution, int]:
    with all_tenants():
        live = LiveExecution.objects.get(started_at=None)
    started = start_execution(execution_id=live.id, token=live.token, worker_id=worker.worker_id)
    assert started is not None
    return live, started.fence


def test_documented_metrics_equal_the_exported_ones(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(scrape_text(change_platform_settings))
        if family.name.startswith("jobsplatform_") and not family.name.endswith("_created")
    }
    page = (BASE_DIR / "docs" / "reference" / "metrics.md").read_text()
    documented = {name: kind for name, kind, _ in DOCUMENTED.findall(page)}
    assert exported == documented


def test_documented_labels_equal_the_exported_ones(change_platform_settings: ChangePlatformSettings) -> None:
    page = (BASE_DIR / "docs" / "reference" / "metrics.md").read_text()
    documented = {name: set(labels.split(", ")) - {"–"} for name, _, labels in DOCUMENTED.findall(page)}
    families = [
        family
        for family in text_string_to_metric_families(scrape_text(change_platform_settings))
        if family.name.startswith("jobsplatform_") and not family.name.endswith("_created")
    ]
    assert any(family.samples for family in families)
    for family in families:
        name = family.name + ("_total" if family.type == "counter" else "")
        assert all(sample.labels.keys() - {"le"} == documented[name] for sample in family.samples), name


def test_metrics_of_queues_pools_and_workers_exist_before_any_job(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    samples = scrape(change_platform_settings)
    for name in ("waiting_jobs", "scheduled_jobs", "backing_off_jobs", "oldest_wait_seconds", "executing_jobs"):
        assert samples[f'jobsplatform_queue_{name}{{queue="dataset"}}'] == 0
    assert samples['jobsplatform_pool_slots{pool="default"}'] == 0
    assert samples['jobsplatform_pool_queues_without_consumer{pool="default"}'] > 1
    assert samples['jobsplatform_workers{pool="default",status="silent"}'] == 0
    assert samples["jobsplatform_database_up"] == samples["jobsplatform_broker_up"] == 1


def test_firing_alerts_and_the_age_of_their_evaluation_are_exported(
    change_platform_settings: ChangePlatformSettings,
) -> None:
    with all_tenants():
        AlertClock.objects.update(evaluated_at=timezone.now() - timedelta(seconds=90))
        values = dict.fromkeys(("value", "peak", "threshold"), 1)
        values |= dict.fromkeys(("pending_at", "changed_at", "evaluated_at"), timezone.now())
        for key, state in (("queue:a", "firing"), ("queue:b", "pending"), ("queue:c", "resolved")):
            Alert.objects.create(object_key=key, severity="critical", state=state, **values)
    samples = scrape(change_platform_settings)
    firing = {
        name: samples[f'jobsplatform_alerts_firing{{severity="{name}"}}'] for name in ("info", "warning", "critical")
    }
    assert firing == {"info": 0, "warning": 0, "critical": 1}
    assert samples["jobsplatform_alerts_seconds_since_evaluation"] > 60


def test_waiting_jobs_are_exported_by_queue_with_predicted_time(
    change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    submit(acme, 3)
    submit(acme, run_at=datetime.now(UTC) + timedelta(hours=1))
    # The tick counts waiting jobs; without a worker it dispatches none.
    tick()
    samples = scrape(change_platform_settings)
    assert samples[f"jobsplatform_queue_waiting_jobs{{{QUEUE}}}"] == 3
    assert samples[f"jobsplatform_queue_scheduled_jobs{{{QUEUE}}}"] == 1
    assert samples[f"jobsplatform_queue_oldest_wait_seconds{{{QUEUE}}}"] >= 0
    assert samples['jobsplatform_pool_predicted_seconds{pool="default"}'] > 0


def test_suspended_jobs_are_exported_by_queue_until_resumed_or_cancelled(
    change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    name = f"jobsplatform_queue_suspended_jobs{{{QUEUE}}}"
    assert scrape(change_platform_settings)[name] == 0
    jobs = submit(acme, 3)
    with tenant_context(acme):
        for job in jobs:
            suspend_job(job_id=job.pk)
        assert scrape(change_platform_settings)[name] == 3
        resume_job(job_id=jobs[0].pk)
        cancel_jobs(job_ids=[jobs[1].pk])
    assert scrape(change_platform_settings)[name] == 1
    with tenant_context(acme):
        suspend_job(job_id=jobs[0].pk)
    assert scrape(change_platform_settings)[name] == 2


def test_dispatched_executing_and_backing_off_jobs_are_exported(
    change_platform_settings: ChangePlatformSettings, acme: Tenant, worker: Registration
) -> None:
    submit(acme)
    tick()
    samples = scrape(change_platform_settings)
    assert samples[f"jobsplatform_queue_dispatched_jobs{{{QUEUE}}}"] == 1
    assert samples['jobsplatform_pool_in_flight_messages{pool="default"}'] == 1
    assert samples['jobsplatform_pool_slots{pool="default"}'] == 2
    assert samples['jobsplatform_pool_queues_without_consumer{pool="default"}'] == 0
    assert samples['jobsplatform_pool_oldest_canary_seconds{pool="default"}'] >= 1
    assert samples['jobsplatform_workers{pool="default",status="online"}'] == 1
    assert 'jobsplatform_pool_seconds_since_tick{pool="default"}' in samples
    live, fence = begin(worker)
    assert scrape(change_platform_settings)[f"jobsplatform_queue_executing_jobs{{{QUEUE}}}"] == 1
    failure = settlement_builders.Failure.of(ValueError("no"), is_permanent=False)
    policy = settlement_builders.RetryPolicy(max_retries=3)
    settle([settlement_builders.failed(live.id, fence, failure, failed_attempts=1, policy=policy)])
    tick()
    assert scrape(change_platform_settings)[f"jobsplatform_queue_backing_off_jobs{{{QUEUE}}}"] == 1


@pytest.mark.parametrize("status", Worker.Status)
def test_workers_are_counted_by_status(
    change_platform_settings: ChangePlatformSettings, worker: Registration, status: Worker.Status
) -> None:
    with all_tenants():
        Worker.objects.filter(pk=worker.worker_id).update(status=status)
    samples = scrape(change_platform_settings)
    counts = {
        re.findall(r'status="(\w+)"', name)[0]: value
        for name, value in samples.items()
        if name.startswith('jobsplatform_workers{pool="default"')
    }
    # A stopped worker is not counted.
    assert counts == dict.fromkeys(counts, 0.0) | ({} if status is Worker.Status.STOPPED else {status.value: 1.0})
    assert set(counts) == {*Worker.Status.values, "silent"} - {"stopped"}


def test_heartbeats_and_clock_skew_are_exported(
    change_platform_settings: ChangePlatformSettings, worker: Registration
) -> None:
    for role in ProcessHeartbeat.Role:
        ProcessPulse(role).beat()
    samples = scrape(change_platform_settings)
    assert samples['jobsplatform_process_heartbeat_age_seconds{role="beat"}'] >= 0
    assert samples['jobsplatform_process_heartbeat_age_seconds{role="dispatcher"}'] >= 0
    assert abs(samples["jobsplatform_clock_skew_seconds"]) < 60


def test_busiest_tenants_are_exported_unless_disabled(
    change_platform_settings: ChangePlatformSettings,
    acme: Tenant,
    globex: Tenant,
    worker: Registration,
) -> None:
    with all_tenants():
        note(acme, a_whole_minute_ago(), used=1.0, entitled=3.0)
        note(globex, a_whole_minute_ago(), used=3.0, entitled=1.0)
    samples = scrape(change_platform_settings)
    for number, slots in ((1.0, 3.0), (3.0, 1.0)):
        labels = f'{{tenant="{"acme" if number < slots else "globex"}"}}'
        assert samples[f"jobsplatform_tenant_share_ratio{labels}"] == pytest.approx(number / slots, rel=0.001)
        assert samples[f"jobsplatform_tenant_used_slots{labels}"] == pytest.approx(number, rel=0.001)
        assert samples[f"jobsplatform_tenant_entitled_slots{labels}"] == pytest.approx(slots, rel=0.001)
    assert 'jobsplatform_tenant_lag_seconds{tenant="acme"}' in samples
    change_platform_settings(METRICS_TENANTS=1)
    assert (
        len([name for name in scrape(change_platform_settings) if name.startswith("jobsplatform_tenant_share_ratio{")])
        == 1
    )
    change_platform_settings(METRICS_TENANTS=0)
    assert 'tenant="acme"' not in scrape_text(change_platform_settings)


def test_scrape_takes_a_bounded_number_of_statements(
    change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    scrape(change_platform_settings)
    with CaptureQueriesContext(connection) as few:
        scrape(change_platform_settings)
    submit(acme, 50)
    tick()
    with CaptureQueriesContext(connection) as many:
        scrape(change_platform_settings)
    assert len(many) <= len(few) + 2
    assert len(many) < 40


def test_unreachable_database_is_exported(
    change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(module, "read_measures", refuse)
    monkeypatch.setattr(module.connection, "close", lambda: None)
    samples = scrape(change_platform_settings)
    assert samples["jobsplatform_database_up"] == 0
    assert 'jobsplatform_pool_slots{pool="default"}' not in samples


def test_prediction_error_is_exported_by_kind(
    change_platform_settings: ChangePlatformSettings, acme: Tenant, worker: Registration
) -> None:
    submit(acme)
    tick()
    live, fence = begin(worker)
    assert 'jobsplatform_prediction_error_ratio{kind="noop"}' not in scrape(change_platform_settings)
    settle([Settlement.completed(live.id, fence, None)])
    tick()
    samples = scrape(change_platform_settings)
    # The queue expected a second; the job took less.
    assert samples['jobsplatform_prediction_error_ratio{kind="noop"}'] > 0
    assert samples['jobsplatform_prediction_bias_ratio{kind="noop"}'] > 0
