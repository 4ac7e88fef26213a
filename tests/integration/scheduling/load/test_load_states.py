"""Load states: they follow what is measured, are forced for a time, and show where people and machines look."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.dispatch.broker_probes import ANSWER_SECONDS
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fleet.workers import Registration
from scheduling.load import duty, signals
from scheduling.load.duty import LoadWatch
from scheduling.load.exceptions import LoadScopeNotFoundError
from scheduling.load.measures import MEASURES
from scheduling.load.models import LoadState
from scheduling.load.queries import current_load
from scheduling.load.rules import Level
from scheduling.load.service import force_level, release_level
from scheduling.models import Job, PoolClock, ShareMinute, TenantMinute
from scheduling.statistics.histogram import BUCKETS
from tenants.context import all_tenants
from tenants.exceptions import FieldInvalidError, ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Tick, submit

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def measured() -> dict[str, dict[str, float]]:
    with all_tenants():
        return {scope: dict(values) for scope, values in signals.read_database().items()}


def age_waiting(seconds: float) -> None:
    with all_tenants():
        Job.objects.filter(state="available").update(run_at=timezone.now() - timedelta(seconds=seconds))


def state(scope: str = "platform") -> LoadState:
    with all_tenants():
        return LoadState.objects.get(scope=scope)


def hold(values: dict[str, float], monkeypatch: pytest.MonkeyPatch, *, seconds: float = 4.0) -> None:
    """Measure twice, so many seconds apart, with these values of the surroundings."""
    monkeypatch.setattr(duty, "read_surroundings", lambda: values)
    monkeypatch.setattr(duty, "read_database", lambda: {"platform": {}})
    LoadWatch().take_turn()
    with all_tenants():
        LoadState.objects.update(measured_at=timezone.now() - timedelta(seconds=seconds))
    LoadWatch().take_turn()


def test_every_pool_and_the_platform_are_measured(acme: Tenant) -> None:
    LoadWatch().take_turn()
    with all_tenants():
        rows = {row.scope: row for row in LoadState.objects.all()}
    assert {"platform", "pool:default", "pool:maintenance"} <= rows.keys()
    assert {"database", "connections", "broker", "disk", "memory"} <= rows["platform"].signals.keys()
    assert 0 < rows["platform"].signals["connections"] <= 100


def test_second_dispatcher_does_not_measure_again(acme: Tenant) -> None:
    LoadWatch().take_turn()
    before = state().measured_at
    LoadWatch().take_turn()
    assert state().measured_at == before


def test_wait_counts_of_a_tenant_below_its_entitlement(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme, 6, kind="sleep", payload={"seconds": 1})
    tick()
    age_waiting(40)
    assert measured()["pool:default"]["oldest_wait"] >= 30
    # With all that it is entitled to, its backlog is its own.
    with all_tenants():
        minute = timezone.now().replace(second=0, microsecond=0)
        queue = Job.objects.filter(tenant=acme)[0].queue
        ShareMinute.objects.create(
            tenant=acme, queue=queue, minute=minute, entitled_us=4_000_000, backlogged_us=1_000_000, lag_us=0
        )
    assert "oldest_wait" not in measured()["pool:default"]


def test_wait_of_a_tenant_with_turns_does_not_count_between_them(
    acme: Tenant, globex: Tenant, worker: Registration, tick: Tick
) -> None:
    submit(acme, 6, kind="sleep", payload={"seconds": 1})
    tick()
    submit(globex, 1)
    tick()
    with all_tenants():
        Job.objects.filter(tenant=globex).update(run_at=timezone.now() - timedelta(seconds=40))
    assert measured()["pool:default"]["oldest_wait"] >= 30
    with all_tenants():
        minute = timezone.now().replace(second=0, microsecond=0)
        values = {"tenant": globex, "queue": Job.objects.filter(tenant=globex)[0].queue, "minute": minute}
        ShareMinute.objects.create(entitled_us=10_000_000, backlogged_us=20_000_000, lag_us=0, **values)
        empty = [0] * BUCKETS
        TenantMinute.objects.create(busy_us=4_000_000, wait=empty, run=empty, **values)
    assert measured()["pool:default"]["oldest_wait"] >= 30
    with all_tenants():
        TenantMinute.objects.filter(tenant=globex).update(busy_us=9_000_000)
    # That of the other tenant, which has just submitted.
    assert measured()["pool:default"].get("oldest_wait", 0.0) < 30


def test_wait_for_a_worker_is_no_load(acme: Tenant) -> None:
    submit(acme, 3)
    age_waiting(400)
    assert "oldest_wait" not in measured()["pool:default"]


def test_wait_beside_free_slots_is_no_load(acme: Tenant, worker: Registration) -> None:
    submit(acme, 3)
    age_waiting(400)
    assert "oldest_wait" not in measured()["pool:default"]


def test_wait_of_a_tenant_at_its_cap_does_not_count(acme: Tenant, worker: Registration, tick: Tick) -> None:
    with all_tenants():
        Tenant.objects.filter(pk=acme.pk).update(max_concurrency=1)
    submit(acme, 3)
    tick()
    age_waiting(40)
    assert "oldest_wait" not in measured()["pool:default"]


def test_tick_that_picks_jobs_records_its_time(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme)
    tick()
    with all_tenants():
        clock = PoolClock.objects.get(pool__name="default")
    assert clock.tick_us
    assert clock.picked_at
    assert measured()["pool:default"]["tick"] == pytest.approx(clock.tick_us / 1000)
    with all_tenants():
        PoolClock.objects.update(picked_at=timezone.now() - timedelta(seconds=60))
    assert "tick" not in measured()["pool:default"]


def test_slow_tick_of_an_idle_pool_is_soon_forgotten(acme: Tenant, worker: Registration, tick: Tick) -> None:
    submit(acme)
    with all_tenants():
        PoolClock.objects.update(tick_us=3_000_000, picked_at=timezone.now() - timedelta(seconds=10))
    tick()
    with all_tenants():
        assert PoolClock.objects.get(pool__name="default").tick_us < 1_000_000


def test_absent_broker_counts_as_its_longest_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> float:
        raise BrokerUnavailableError("gone")

    monkeypatch.setattr(signals, "read_memory_part", refuse)
    assert signals.read_surroundings()["broker"] == 1_000 * ANSWER_SECONDS


def test_state_rises_with_reasons_and_falls_later(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    hold({"disk": 0.5}, monkeypatch)
    row = state()
    assert (row.level, row.reasons) == (Level.OVERLOADED, {"disk": 0.5})
    for _ in range(4):
        hold({"disk": 90.0}, monkeypatch, seconds=60)
    assert state().level < Level.OVERLOADED


def test_set_clock_changes_no_state_at_once(acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "read_database", lambda: {"platform": {}})
    monkeypatch.setattr(duty, "read_surroundings", lambda: {"disk": 90.0})
    LoadWatch().take_turn()
    with all_tenants():
        LoadState.objects.update(level=2, measured_at=timezone.now() - timedelta(days=2))
    LoadWatch().take_turn()
    assert state().level == Level.OVERLOADED


def test_state_of_a_deleted_pool_goes(acme: Tenant) -> None:
    with all_tenants():
        LoadState.objects.create(scope="pool:gone", since=timezone.now(), measured_at=timezone.now())
    LoadWatch().take_turn()
    with all_tenants():
        assert not LoadState.objects.filter(scope="pool:gone").exists()


def test_forced_state_applies_until_its_end(acme: Tenant) -> None:
    LoadWatch().take_turn()
    force_level(scope="pool:default", level=Level.BROWN_OUT, reason="rehearsal")
    assert current_load().level("default") is Level.BROWN_OUT
    assert current_load().level("maintenance") is current_load().level()
    with all_tenants():
        row = state("pool:default")
        assert row.applying(timezone.now() + timedelta(hours=2)) is not Level.BROWN_OUT
        assert AuditLogEntry.objects.get(action="load.forced").reason == "rehearsal"
        LoadState.objects.filter(scope="pool:default").update(forced_until=timezone.now() - timedelta(seconds=1))
        LoadState.objects.update(measured_at=timezone.now() - timedelta(seconds=2))
    LoadWatch().take_turn()
    assert state("pool:default").forced_level is None
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="load.released").exists()


def test_forced_state_of_the_platform_applies_to_its_pools(acme: Tenant) -> None:
    LoadWatch().take_turn()
    force_level(scope="platform", level=Level.OVERLOADED, reason="rehearsal")
    assert current_load().level("default") is Level.OVERLOADED
    release_level(scope="platform")
    assert current_load().level("default") < Level.OVERLOADED


def test_forcing_is_refused_without_reason_scope_or_near_end(acme: Tenant) -> None:
    LoadWatch().take_turn()
    with pytest.raises(ReasonRequiredError):
        force_level(scope="platform", level=Level.BUSY, reason=" ")
    with pytest.raises(LoadScopeNotFoundError):
        force_level(scope="pool:none", level=Level.BUSY, reason="x")
    with pytest.raises(FieldInvalidError):
        force_level(scope="platform", level=Level.BUSY, reason="x", until=timezone.now() + timedelta(days=3))


def test_state_that_is_not_measured_any_more_counts_as_normal(acme: Tenant) -> None:
    with all_tenants():
        old = timezone.now() - timedelta(minutes=1)
        LoadState.objects.create(scope="platform", since=old, measured_at=old, level=3)
    assert current_load().level() is Level.NORMAL


def test_measure_has_a_sample_for_each_state_above_normal(acme: Tenant) -> None:
    LoadWatch().take_turn()
    force_level(scope="platform", level=Level.OVERLOADED, reason="rehearsal")
    force_level(scope="pool:default", level=Level.BROWN_OUT, reason="rehearsal")
    with all_tenants():
        samples = {sample.object_key: sample for sample in MEASURES[0].read(timezone.now())}
    assert samples["check:load"].value == 2.0
    assert samples["pool:default"].value == 3.0
    assert "rehearsal" in samples["check:load"].facts["message"]


def test_overview_health_and_metrics_show_the_state(client: Client, staff: User) -> None:
    LoadWatch().take_turn()
    force_level(scope="pool:default", level=Level.OVERLOADED, reason="rehearsal")
    client.force_login(staff)
    page = client.get(reverse("admin:overview_fragment")).content.decode()
    assert "default: overloaded since" in page
    assert "rehearsal" in page
    assert client.get("/health/ready").json()["load"]["pool:default"] == "overloaded"
    detail = client.get(reverse("admin:scheduling_loadstate_change", args=["pool_3Adefault"])).content.decode()
    assert "rehearsal" in detail


def test_command_shows_forces_and_releases(acme: Tenant) -> None:
    LoadWatch().take_turn()
    call_command("load_state", "pool:default", "--force", "busy", "--reason", "x", "--dry-run", stdout=StringIO())
    assert state("pool:default").forced_level is None
    out = StringIO()
    call_command("load_state", "pool:default", "--force", "busy", "--reason", "x", "--json", stdout=out)
    shown = {row["scope"]: row for row in json.loads(out.getvalue())}
    assert shown["pool:default"]["state"] == "busy"
    call_command("load_state", "pool:default", "--release", stdout=StringIO())
    assert state("pool:default").forced_level is None
    with pytest.raises(CommandError, match="no load state"):
        call_command("load_state", "pool:none", "--dry-run", stdout=StringIO())
