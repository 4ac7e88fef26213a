"""Idle breakers: without held jobs they cost nothing, and a job whose breaker was deleted returns."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from scheduling.breakers import state as circuits
from scheduling.breakers.state import prune_circuits
from scheduling.dispatch import tick as ticking
from scheduling.fleet.workers import Registration
from scheduling.models import Circuit, CircuitNews, JobHeld
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, in_flight, submit

pytestmark = pytest.mark.django_db


def put_circuit(tenant: Tenant, kind: str = "noop", state: str = "open", *, since: timedelta) -> Circuit:
    """Store a breaker whose cool-down ended `since` ago."""
    with all_tenants():
        return Circuit.objects.create(
            tenant=tenant,
            kind=kind,
            holds_all=True,
            state=state,
            failures=3,
            fingerprint="f",
            error_type="Down",
            error_message="is down",
            counted_from=Now(),
            opened_at=Now(),
            until=Now() - since,
        )


def put_behind_one(tenant: Tenant, tick: Tick, count: int = 1) -> Circuit:
    """Return the breaker behind which a tick has set jobs aside, with a probe due in an hour."""
    circuit = put_circuit(tenant, since=timedelta(hours=-1))
    submit(tenant, count)
    assert tick().dispatched == 0
    with all_tenants():
        assert list(JobHeld.objects.values_list("gate", flat=True)) == [f"circuit {circuit.pk}"] * count
    return circuit


def is_circuit_news(pool_id: int) -> bool:
    """Return whether a tick that starts now would read breakers."""
    with all_tenants():
        news = ticking.lead_pool(pool_id)
    assert news is not None
    return news.is_circuit


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_idle_breakers_do_not_starve_others(
    acme: Tenant, tick: Tick, worker: Registration, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(circuits, "PROBES", 2)
    circuit = put_behind_one(acme, tick)
    for number in range(5):
        put_circuit(acme, f"idle.{number}", state, since=timedelta(minutes=30))
    with all_tenants():
        Circuit.objects.filter(pk=circuit.pk).update(until=Now() - timedelta(minutes=1))
    for _ in range(2):
        tick()
    assert [job.kind for job in in_flight()] == ["noop"]
    with all_tenants():
        assert set(Circuit.objects.exclude(pk=circuit.pk).values_list("state", flat=True)) == {state}


@pytest.mark.parametrize("state", ["open", "half_open"])
def test_breaker_is_read_by_a_tick_only_while_jobs_wait(
    acme: Tenant, tick: Tick, worker: Registration, state: str
) -> None:
    put_circuit(acme, "noop", state, since=timedelta(minutes=30))
    assert not is_circuit_news(worker.pool_id)
    submit(acme)
    tick()
    assert is_circuit_news(worker.pool_id)


def test_probe_with_unfolded_news_is_not_over(acme: Tenant, tick: Tick, worker: Registration) -> None:
    circuit, probe = put_behind_one(acme, tick), uuid4()
    with all_tenants():
        Circuit.objects.filter(pk=circuit.pk).update(
            state="half_open", probe_job_id=probe, probe_tenant_id=acme.pk, until=Now()
        )
        CircuitNews.objects.create(
            tenant=acme, kind="noop", job_id=probe, fingerprint="", error_type="", error_message="", at=Now()
        )
        assert circuits._run(circuits._TRY_AGAIN) == 0
        CircuitNews.objects.all().delete()
        assert circuits._run(circuits._TRY_AGAIN) == 1


def test_breaker_without_jobs_for_an_hour_is_deleted(acme: Tenant, tick: Tick, worker: Registration) -> None:
    waited_for = put_behind_one(acme, tick)
    with all_tenants():
        Circuit.objects.filter(pk=waited_for.pk).update(until=Now() - timedelta(days=1))
    recent = put_circuit(acme, "recent", since=timedelta(minutes=59))
    for state in ("open", "half_open"):
        put_circuit(acme, f"old.{state}", state, since=timedelta(minutes=61))
    assert prune_circuits() == 0
    with all_tenants():
        assert set(Circuit.objects.values_list("pk", flat=True)) == {waited_for.pk, recent.pk}


def test_breaker_with_a_long_running_probe_is_not_deleted(
    acme: Tenant, tick: Tick, worker: Registration, start: Start
) -> None:
    circuit = put_behind_one(acme, tick)
    with all_tenants():
        Circuit.objects.filter(pk=circuit.pk).update(until=Now() - timedelta(hours=2))
    tick()
    (probe,) = in_flight()
    prune_circuits()
    with all_tenants():
        assert Circuit.objects.get().probe_job_id == probe.pk
    complete(start, probe)
    tick()
    with all_tenants():
        assert not Circuit.objects.exists()


@pytest.mark.parametrize("state", [None, "counting"])
def test_jobs_of_a_deleted_breaker_return_and_no_others(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration, state: str | None
) -> None:
    """Cover a breaker deleted while another pool's tick sets a job aside behind it."""
    circuit = put_behind_one(acme, tick, 2)
    put_circuit(globex, since=timedelta(hours=-1))
    submit(globex)
    tick()
    assert prune_circuits() == 0
    with all_tenants():
        if state is None:
            Circuit.objects.filter(pk=circuit.pk).delete()
        else:
            Circuit.objects.filter(pk=circuit.pk).update(state=state)
    assert tick().dispatched == 0
    assert prune_circuits() == 2
    tick()
    assert {job.tenant_id for job in in_flight()} == {acme.pk}
    with all_tenants():
        assert JobHeld.objects.get().tenant_id == globex.pk


def test_old_failures_are_deleted(acme: Tenant) -> None:
    for hours in (0, 2):
        circuit = put_circuit(acme, f"kind.{hours}", "counting", since=timedelta(0))
        with all_tenants():
            Circuit.objects.filter(pk=circuit.pk).update(counted_from=Now() - timedelta(hours=hours), until=None)
    prune_circuits()
    with all_tenants():
        assert Circuit.objects.get().kind == "kind.0"
