"""The self-diagnosis: it names each condition that does not hold, and its fix."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from scheduling.celery import publishing
from scheduling.diagnosis import checks as flow_checks
from scheduling.diagnosis import service as module
from scheduling.diagnosis.service import Check, Health, diagnose
from scheduling.diagnosis.starts import stall_watch
from scheduling.dispatch import broker_probes
from scheduling.dispatch.broker_faults import record_refused_hints
from scheduling.exceptions import BrokerUnavailableError
from scheduling.execution.leases import heartbeat
from scheduling.fleet.processes import ProcessPulse
from scheduling.fleet.queries import FOREIGN_ROLE
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.models import FairShareNode, ProcessHeartbeat, Queue, Worker, WorkerPool
from scheduling.statistics.gauges import sample_gauges
from scheduling.statistics.rollups import fold_tallies
from scheduling.upkeep.runs import run_upkeep
from tenants.context import all_tenants
from tenants.database.write_probe import write_watch
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def all_processes() -> Registration:
    """Start a dispatcher, beat and a worker of each pool, with fresh heartbeats and numbers."""
    fold_tallies()
    sample_gauges()
    for role in ProcessHeartbeat.Role:
        ProcessPulse(role).beat()
    names = ("maintenance", "io", "default")
    workers = [register_worker(pool_name=name, hostname="here", pid=1, slots=2) for name in names]
    for worker in workers:
        heartbeat(worker_id=worker.worker_id, is_stopping=False, execution_ids=[], canary_age_seconds=1.0)
    return workers[-1]


def check_of(name: str) -> Check:
    return next(check for check in diagnose().checks if check.name == name)


def set_ago(table: str, column: str, seconds: float) -> None:
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = now() - make_interval(secs => %s)", [seconds])


def test_diagnosis_is_ok_while_all_processes_run(all_processes: Registration) -> None:
    diagnosis = diagnose()
    assert [check for check in diagnosis.checks if check.state is not Health.OK] == []
    assert diagnosis.state is Health.OK
    assert not any(check.hint for check in diagnosis.checks)


@pytest.mark.parametrize("role", ProcessHeartbeat.Role)
def test_silent_process_fails(all_processes: Registration, role: ProcessHeartbeat.Role) -> None:
    set_ago("scheduling_process_heartbeat", "heartbeat_at", 60)
    assert check_of(role.value).state is Health.FAILURE


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("rollup lag", "scheduling_rollup_clock", "folded_at"),
        ("gauge lag", "scheduling_queue_gauge", "sampled_at"),
    ],
)
def test_outdated_numbers_fail(all_processes: Registration, name: str, table: str, column: str) -> None:
    set_ago(table, column, 300)
    check = check_of(name)
    assert (check.state, check.measured) == (Health.FAILURE, "300.0 s ago")
    assert "dispatch_jobs" in check.hint


def test_counter_that_differs_from_its_recount_is_found(all_processes: Registration, acme: Tenant) -> None:
    queue = Queue.objects.get(name="tasks_team")
    with all_tenants():
        FairShareNode.objects.create(tenant=acme, queue=queue, waiting=7)
    run_upkeep(name="verify_counters")
    check = check_of("recount: counters")
    assert check.state is Health.FAILURE
    assert "run_upkeep verify_counters" in check.hint
    with all_tenants():
        FairShareNode.objects.all().delete()
    run_upkeep(name="verify_counters")
    assert check_of("recount: counters").measured == "equal, 0 min ago"


def test_queues_without_a_worker_are_named(all_processes: Registration) -> None:
    retire_worker(worker_id=all_processes.worker_id)
    check = check_of("workers of default")
    assert check.state is Health.FAILURE
    assert "dataset" in check.measured
    assert "run_worker --pool=default" in check.hint


def test_silent_worker_reads_no_queue(all_processes: Registration) -> None:
    set_ago("scheduling_worker", "heartbeat_at", 60)
    assert check_of("workers of default").state is Health.FAILURE


def test_old_canary_warns(all_processes: Registration) -> None:
    set_ago("scheduling_worker", "canary_at", 300)
    check = check_of("canary of default")
    assert (check.state, check.measured) == (Health.WARNING, "300.0 s ago")


@pytest.mark.parametrize(("skew", "state"), [(1.0, Health.OK), (-3.0, Health.WARNING), (7_200.0, Health.FAILURE)])
def test_clock_skew_is_found(all_processes: Registration, skew: float, state: Health) -> None:
    with all_tenants():
        Worker.objects.filter(pk=all_processes.worker_id).update(clock_skew_seconds=skew)
    assert check_of("clocks").state is state


def test_clock_skew_of_any_dispatcher_is_found(all_processes: Registration) -> None:
    """Let the dispatcher with the latest heartbeat have the right clock."""
    with all_tenants():
        ProcessHeartbeat.objects.filter(role=ProcessHeartbeat.Role.DISPATCHER).update(clock_skew_seconds=-600.0)
    ProcessPulse(ProcessHeartbeat.Role.DISPATCHER).beat()
    check = check_of("clocks")
    assert check.state is Health.FAILURE
    assert "-600.00 s" in check.measured


def test_clock_of_a_silent_process_is_ignored(all_processes: Registration) -> None:
    with all_tenants():
        ProcessHeartbeat.objects.filter(role=ProcessHeartbeat.Role.DISPATCHER).update(clock_skew_seconds=-600.0)
    set_ago("scheduling_process_heartbeat", "heartbeat_at", 60)
    assert check_of("clocks").state is Health.OK


def test_heartbeat_measures_the_clock(all_processes: Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scheduling.execution.leases.time.time", lambda: 0.0)
    heartbeat(worker_id=all_processes.worker_id, is_stopping=False, execution_ids=[])
    assert check_of("clocks").state is Health.FAILURE


def test_broker_that_evicts_fails(all_processes: Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_probes, "read_eviction_policy", lambda: "allkeys-lru")
    assert check_of("eviction policy").state is Health.FAILURE


def test_unreachable_broker_fails_and_its_address_is_hidden(
    all_processes: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise BrokerUnavailableError("redis://:secret@host")

    monkeypatch.setattr(broker_probes, "read_eviction_policy", refuse)
    check = check_of("broker")
    assert check.state is Health.FAILURE
    assert "secret" not in check.measured


def test_pending_migrations_fail(all_processes: Registration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_pending_migrations", lambda: 3)
    assert check_of("migrations").measured == "3 are not applied"


def test_diagnose_command_fails_and_names_the_checks() -> None:
    out = StringIO()
    with pytest.raises(CommandError, match=r"dispatcher, beat, auditor, workers of default"):
        call_command("diagnose", "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert facts["state"] == "failure"
    assert {"code": "database", "name": "database", "state": "ok", "measured": "responds", "hint": ""} in facts[
        "checks"
    ]


def test_diagnose_command_succeeds_while_all_processes_run(all_processes: Registration) -> None:
    out = StringIO()
    call_command("diagnose", stdout=out)
    assert "ok      workers of default: 1 with 2 slots" in out.getvalue()


def test_diagnosis_page_is_only_for_the_platform(
    all_processes: Registration, staff: User, acme_user: User, client: Client, settings: Settings
) -> None:
    client.force_login(staff)
    page = client.get(reverse("admin:diagnosis"))
    assert page.status_code == 200
    assert "workers of default" in page.content.decode()
    assert reverse("admin:diagnosis") in client.get(reverse("admin:scheduling_queue_changelist")).content.decode()
    client.force_login(acme_user)
    assert client.get(reverse("admin:diagnosis")).status_code == 403
    assert reverse("admin:diagnosis") not in client.get(reverse("admin:scheduling_queue_changelist")).content.decode()


WHOLE = {"layers": ["landlock", "seccomp"], "protections": ["network", "files", "writing", "processes"]}


@pytest.mark.parametrize(
    ("sandbox", "is_allowed", "state", "measured"),
    [
        (WHOLE, False, Health.OK, "landlock, seccomp on 1 workers"),
        ({"layers": ["seccomp"], "protections": ["network"]}, False, Health.FAILURE, "files not protected on here:7"),
        ({"layers": [], "protections": []}, True, Health.WARNING, "files, network not protected on here:7"),
    ],
)
def test_extraction_sandbox_is_listed(
    change_platform_settings: ChangePlatformSettings,
    sandbox: dict[str, list[str]],
    is_allowed: bool,
    state: Health,
    measured: str,
) -> None:
    change_platform_settings(EXTRACTION_WITHOUT_SANDBOX=is_allowed)
    register_worker(pool_name="default", hostname="here", pid=7, slots=1, sandbox=sandbox)
    check = check_of("extraction sandbox")
    assert (check.state, check.measured, bool(check.hint)) == (state, measured, state is not Health.OK)


@pytest.mark.parametrize(
    ("modes", "state", "measured"),
    [
        (["cgroup v2", "cgroup v2"], Health.OK, "cgroup v2 on 2 workers"),
        (["process limits", "no limits"], Health.WARNING, "no limits on 1 workers, process limits on 1 workers"),
    ],
)
def test_limits_of_children_are_listed(modes: list[str], state: Health, measured: str) -> None:
    # These run no jobs in children with limits.
    for pool in ("io", "maintenance"):
        register_worker(pool_name=pool, hostname="other", pid=1, slots=1, sandbox={**WHOLE, "limits": "cgroup v1"})
    for pid, mode in enumerate(modes):
        register_worker(pool_name="default", hostname="here", pid=pid, slots=1, sandbox={**WHOLE, "limits": mode})
    check = check_of("limits of children")
    assert (check.state, check.measured, bool(check.hint)) == (state, measured, state is not Health.OK)


def test_foreign_consumer_fails_for_five_minutes_and_is_on_the_overview(
    all_processes: Registration, client: Client, staff: User
) -> None:
    assert check_of("foreign consumers").state is Health.OK
    ProcessPulse(FOREIGN_ROLE).beat()
    check = check_of("foreign consumers")
    assert (check.state, "consumes messages of the platform" in check.measured) == (Health.FAILURE, True)
    assert "run_worker" in check.hint
    client.force_login(staff)
    assert "A foreign process consumes messages" in client.get(reverse("admin:overview_fragment")).content.decode()
    set_ago("scheduling_process_heartbeat", "heartbeat_at", 301)
    assert check_of("foreign consumers").state is Health.OK


def test_database_refusing_writes_fails(
    all_processes: Registration, staff: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_watch, "read", lambda: "PostgreSQL does not accept writes: No space left on device")
    check = check_of("writes")
    assert (check.state, check.measured) == (
        Health.FAILURE,
        "PostgreSQL does not accept writes: No space left on device",
    )
    assert "Make room" in check.hint
    client.force_login(staff)
    assert "The database accepts no writes" in client.get(reverse("admin:overview_fragment")).content.decode()
    chinese = client.get(reverse("admin:overview_fragment"), headers={"Accept-Language": "zh-CN"}).content.decode()
    assert "无法接受任务。PostgreSQL 不接受写入：No space left on device。" in chinese


def test_broker_refusing_messages_fails_with_its_answer(
    all_processes: Registration, staff: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = "ReadOnlyError: You can't write against a read only replica."
    monkeypatch.setattr(publishing, "fault_of_last_failure", lambda: answer)
    record_refused_hints(WorkerPool.objects.get(name="default").pk)
    check = check_of("publishing")
    assert (check.state, "default (ReadOnlyError: You can't" in check.measured) == (Health.FAILURE, True)
    assert "role of a replica" in check.hint
    client.force_login(staff)
    page = client.get(reverse("admin:overview_fragment")).content.decode()
    assert "The broker rejects messages of the pool default" in page
    assert "Redis does not respond" not in page
    set_ago("scheduling_pool_clock", "publish_failed_at", 11)
    assert check_of("publishing").state is Health.OK


def test_jobs_waiting_beside_free_slots_fail(
    all_processes: Registration, acme: Tenant, staff: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_checks, "SECOND_LOOK_SECONDS", 0.0)
    submit(acme)
    assert check_of("starts").state is Health.OK
    set_ago("scheduling_job", "run_at", 20)
    check = check_of("starts")
    assert (check.state, check.measured.startswith("jobs wait in default and none has started for")) == (
        Health.FAILURE,
        True,
    )
    assert "restart the workers" in check.hint
    client.force_login(staff)
    monkeypatch.setattr(stall_watch, "read", lambda: ("default",))
    assert "Nothing starts in the pool default" in client.get(reverse("admin:overview_fragment")).content.decode()
