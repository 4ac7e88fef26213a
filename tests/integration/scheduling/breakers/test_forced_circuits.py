"""Forced breakers: a person forces one open or closed until it is reset, by that person or at its time."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone

from scheduling.breakers.service import force_circuit, reset_circuit
from scheduling.exceptions import CircuitNotFoundError, DependencyNameError, KindUnknownError
from scheduling.fleet.workers import Registration
from scheduling.models import Circuit, Job, JobHeld
from scheduling.stops.expiry import expire_due_stops
from tenants.context import Actor, acting_as, all_tenants, tenant_context
from tenants.exceptions import FieldInvalidError, ReasonRequiredError
from tenants.models import AuditLogEntry, Tenant
from tests.integration.scheduling.job_helpers import Start, Tick, complete, fail, in_flight, reasons_of, submit
from tests.platform_settings import ChangePlatformSettings

pytestmark = pytest.mark.django_db

API = "api.example.com"
PERSON = Actor(kind="user", id="1", label="ada")


def put_behind(job: Job, *, is_shared: bool = False) -> None:
    with all_tenants():
        Job.objects.filter(pk=job.pk).update(dependencies=[API], shared_dependencies=[API] if is_shared else [])


def actions() -> list[str]:
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action__startswith="circuit.").order_by("id")
        return list(entries.values_list("action", flat=True))


def test_forced_open_breaker_holds_its_jobs_and_states_actor_and_reason(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    until = timezone.now() + timedelta(hours=2)
    with acting_as(PERSON):
        force_circuit(
            kind="noop", tenant_id=acme.pk, dependency=API, is_open=True, until=until, reason="moves to a new host"
        )
    (job,), (foreign,) = submit(acme), submit(globex)
    put_behind(job)
    put_behind(foreign)
    while tick().has_more:
        pass
    assert [running.pk for running in in_flight()] == [foreign.pk]
    with tenant_context(acme):
        (reason,) = reasons_of(job)
        circuit = Circuit.objects.get()
    assert (reason.code, reason.until) == ("circuit_open", until)
    assert API in reason.detail
    assert "moves to a new host" in reason.detail
    assert (circuit.state, circuit.forced_by) == ("forced_open", "user:ada")
    assert actions() == ["circuit.forced_open"]


def test_forced_open_breaker_starts_no_probe(acme: Tenant, tick: Tick, worker: Registration) -> None:
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, reason="x")
    submit(acme, 3)
    for _ in range(4):
        assert tick().dispatched == 0


def test_forced_open_shared_breaker_holds_all_tenants(
    acme: Tenant, globex: Tenant, tick: Tick, worker: Registration
) -> None:
    force_circuit(kind="noop", tenant_id=None, dependency=API, is_open=True, reason="x")
    for tenant in (acme, globex):
        put_behind(submit(tenant)[0], is_shared=True)
    for _ in range(2):
        assert tick().dispatched == 0
    with all_tenants():
        assert JobHeld.objects.count() == 2


def test_reset_of_a_forced_breaker_returns_its_jobs(acme: Tenant, tick: Tick, worker: Registration) -> None:
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, reason="x")
    submit(acme, 3)
    tick()
    with tenant_context(acme):
        reset_circuit(kind="noop", tenant_id=acme.pk, reason="done")
    tick()
    tick()
    assert len(in_flight()) == 3
    with all_tenants():
        assert not Circuit.objects.exists()
    assert actions() == ["circuit.forced_open", "circuit.reset"]


def test_forced_breaker_is_reset_at_its_time(acme: Tenant, tick: Tick, worker: Registration) -> None:
    until = timezone.now() + timedelta(hours=1)
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, until=until, reason="x")
    force_circuit(kind="noop", tenant_id=None, dependency=API, is_open=False, reason="for good")
    submit(acme, 2)
    tick()
    assert expire_due_stops() == 0
    with all_tenants():
        Circuit.objects.filter(until=until).update(until=Now() - timedelta(hours=1))
    assert expire_due_stops() == 1
    tick()
    tick()
    assert len(in_flight()) == 2
    with all_tenants():
        assert Circuit.objects.get().forced_reason == "for good"
        assert AuditLogEntry.objects.get(action="circuit.reset").reason == "its end time was reached"


def test_forced_closed_breaker_stays_closed_despite_failures(
    acme: Tenant, tick: Tick, worker: Registration, start: Start, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(CIRCUIT_FAILURES=2)
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, reason="x")
    (held,) = submit(acme)
    tick()
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=False, reason="they must run")
    tick()
    tick()
    assert [job.pk for job in in_flight()] == [held.pk]
    complete(start, held)
    for _ in range(4):
        (job,) = submit(acme)
        tick()
        fail(start, job)
    tick()
    with all_tenants():
        assert Circuit.objects.get().state == "forced_closed"
    assert actions() == ["circuit.forced_open", "circuit.forced_closed"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"kind": "unheard-of"}, KindUnknownError),
        ({"tenant_id": None}, DependencyNameError),
        ({"dependency": "a\nb"}, DependencyNameError),
        ({"dependency": "x" * 201}, DependencyNameError),
        ({"reason": " "}, ReasonRequiredError),
        ({"until": timezone.now() - timedelta(seconds=1)}, FieldInvalidError),
    ],
)
def test_invalid_forced_breaker_is_refused(acme: Tenant, options: dict[str, object], error: type[Exception]) -> None:
    values = {"kind": "noop", "tenant_id": acme.pk, "is_open": True, "reason": "x"} | options
    with acting_as(PERSON), pytest.raises(error):
        force_circuit(**values)  # type: ignore[arg-type]
    with all_tenants():
        assert not Circuit.objects.exists()


def test_forced_breaker_of_another_tenant_cannot_be_reset(acme: Tenant, globex: Tenant) -> None:
    force_circuit(kind="noop", tenant_id=acme.pk, is_open=True, reason="x")
    for tenant_id in (globex.pk, None):
        with pytest.raises(CircuitNotFoundError):
            reset_circuit(kind="noop", tenant_id=tenant_id)


def test_commands_force_list_and_reset_breakers(acme: Tenant) -> None:
    call_command("force_circuit", "acme", "noop", state="open", reason="x")
    call_command("force_circuit", "noop", "--shared", "--dependency", API, "--state", "closed", "--reason", "y")
    listed = StringIO()
    call_command("list_circuits", stdout=listed)
    assert "acme noop: forced open, x" in listed.getvalue()
    assert f"(shared) noop needs {API}: forced closed, y" in listed.getvalue()
    call_command("reset_circuit", "acme", "noop")
    printed = StringIO()
    call_command("reset_circuit", "noop", "--shared", "--dependency", API, "--json", stdout=printed)
    facts = json.loads(printed.getvalue())
    assert (facts["tenant"], facts["kind"], facts["dependency"], facts["state"]) == (None, "noop", API, "closing")
    with all_tenants():
        assert set(Circuit.objects.values_list("state", flat=True)) == {"closing"}


@pytest.mark.parametrize("words", [["noop"], ["acme", "noop", "--shared"]])
def test_command_without_tenant_or_shared_option_is_refused(acme: Tenant, words: list[str]) -> None:
    with pytest.raises(CommandError, match="--shared"):
        call_command("reset_circuit", *words)
