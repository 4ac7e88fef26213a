"""Kinds that workers announce: jobs of other kinds wait, are released when one announces them, and raise an alarm."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from scheduling.diagnosis.service import Health, diagnose
from scheduling.fleet.announced_kinds import refresh_announced_kinds, tend_announced_kinds, unknown_kinds_of
from scheduling.fleet.workers import Registration, register_worker, retire_worker
from scheduling.kit import registry
from scheduling.models import DeadLetter, Job, JobHeld, Worker, WorkerPool
from tenants.context import all_tenants, tenant_context
from tenants.database.clock import read_clock, read_moment
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Tick, reasons_of, reload, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def register(monkeypatch: pytest.MonkeyPatch, kinds: list[str]) -> Registration:
    """Register a worker of a release that has only these kinds."""
    with monkeypatch.context() as patch:
        patch.setattr(registry, "kinds", lambda: kinds)
        return register_worker(pool_name="default", hostname="test", pid=2, slots=4)


def announced() -> list[str] | None:
    return WorkerPool.objects.get(name="default").kinds


def reasons(tenant: Tenant, job: Job) -> list[str]:
    with tenant_context(tenant):
        return [reason.code for reason in reasons_of(Job.objects.get(pk=job.pk))]


def wait_since(age: timedelta) -> None:
    """Let the jobs of unknown kinds have waited for so long."""
    with all_tenants():
        for pool in WorkerPool.objects.all():
            pool.unknown_kinds = {kind: (read_clock() - age).timestamp() for kind in pool.unknown_kinds}
            pool.save(update_fields=["unknown_kinds"])


def test_registered_worker_announces_the_kinds_of_its_process(worker: Registration) -> None:
    with all_tenants():
        assert Worker.objects.get(pk=worker.worker_id).kinds == registry.kinds()
        assert announced() == registry.kinds()


def test_pool_announces_what_its_live_workers_announce(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = register(monkeypatch, ["noop", "sleep"]), register(monkeypatch, ["noop", "spin"])
    with all_tenants():
        assert announced() == ["noop", "sleep", "spin"]
        retire_worker(worker_id=old.worker_id)
        assert refresh_announced_kinds() == 1
        assert announced() == ["noop", "spin"]
        assert refresh_announced_kinds() == 0
        Worker.objects.filter(pk=new.worker_id).update(kinds=[])
        refresh_announced_kinds()
        assert announced() == []


def test_job_of_unannounced_kind_waits_until_a_worker_announces_it(
    acme: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(monkeypatch, ["sleep"])
    (unknown,), (known,) = submit(acme), submit(acme, kind="sleep", payload={"seconds": 0})
    tick()
    tick()
    assert (reload(unknown).state, reload(known).state) == ("available", "dispatched")
    assert reasons(acme, unknown) == ["kind_unknown"]
    register(monkeypatch, ["noop", "sleep"])
    tick()
    tick()
    assert reload(unknown).state == "dispatched"
    with all_tenants():
        assert not DeadLetter.objects.exists()


def test_unknown_kind_raises_an_alarm_after_five_minutes(
    acme: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    register(monkeypatch, ["sleep"])
    submit(acme, 3)
    tick()

    def alarm() -> tuple[Health, str]:
        (check,) = [check for check in diagnose().checks if check.name == "job kinds"]
        return check.state, check.measured

    tend_announced_kinds()
    assert alarm()[0] is Health.OK
    wait_since(timedelta(minutes=4, seconds=50))
    tend_announced_kinds()
    assert alarm()[0] is Health.OK
    wait_since(timedelta(minutes=5, seconds=1))
    tend_announced_kinds()
    state, measured = alarm()
    assert state is Health.FAILURE
    assert "noop (default)" in measured
    assert "No worker has the kind noop" in admin_client.get("/admin/").content.decode()
    register(monkeypatch, ["noop"])
    tick()
    tend_announced_kinds()
    assert alarm()[0] is Health.OK


def test_each_unknown_kind_is_listed_once(acme: Tenant, tick: Tick, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, ["fail"])
    submit(acme, 5)
    submit(acme, 5, kind="sleep", payload={"seconds": 0})
    tick()
    with all_tenants():
        assert JobHeld.objects.filter(gate__startswith="unknown ").count() == 10
        tend_announced_kinds()
        found = unknown_kinds_of(WorkerPool.objects.all(), read_moment() + timedelta(minutes=6))
    assert sorted((each.pool, each.kind) for each in found) == [("default", "noop"), ("default", "sleep")]
