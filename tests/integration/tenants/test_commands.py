"""The tenants' commands: output, and errors by name."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tenants.access.caller import authenticate_api_key
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, TenantStatus
from tenants.signals import running_work_unwanted
from tenants.tenancy.queries import find_tenant

pytestmark = pytest.mark.django_db


def test_created_tenant_is_printed_and_audited(capsys):
    call_command("create_tenant", "initech", plan="team", name="Initech", json=True)
    tenant = find_tenant("initech")
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"id": str(tenant.pk), "slug": "initech", "name": "Initech", "plan": "team"}
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="tenant.created")
    assert (entry.actor_kind, entry.actor_id) == ("command", "create_tenant")


def test_existing_tenant_is_an_error(acme):
    with pytest.raises(CommandError, match="slug 'acme' already exists"):
        call_command("create_tenant", "acme", plan="team")


def test_unknown_plan_is_an_error():
    with pytest.raises(CommandError, match="no plan 'gold'"):
        call_command("create_tenant", "initech", plan="gold")


def suspension(*arguments: str) -> dict[str, object]:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    facts: dict[str, object] = json.loads(out.getvalue())
    return facts


def test_suspension_and_reinstatement_are_audited_with_reasons(acme):
    stopped = suspension("suspend_tenant", "acme", "--reason", "unpaid", "--until", "2999-01-01T00:00:00Z")
    assert (stopped["status"], stopped["reason"]) == ("suspended", "unpaid")
    assert stopped["suspended_until"] == "2999-01-01T00:00:00+00:00"
    assert find_tenant("acme").status == TenantStatus.SUSPENDED
    going_on = suspension("reinstate_tenant", "acme", "--reason", "paid")
    assert going_on == {
        "slug": "acme",
        "status": "active",
        "reason": "",
        "suspended_by": "",
        "suspended_at": None,
        "suspended_until": None,
    }
    with all_tenants():
        entries = AuditLogEntry.objects.filter(action__in=["tenant.suspended", "tenant.reinstated"]).order_by("at")
        recorded = [(entry.action, entry.actor_id, entry.reason) for entry in entries]
    assert recorded == [
        ("tenant.suspended", "suspend_tenant", "unpaid"),
        ("tenant.reinstated", "reinstate_tenant", "paid"),
    ]


def test_command_prints_whether_a_tenant_is_suspended(acme, capsys):
    call_command("suspend_tenant", "acme", reason="unpaid")
    assert capsys.readouterr().out == "acme is suspended: unpaid\n"
    call_command("reinstate_tenant", "acme")
    assert capsys.readouterr().out == "acme is active.\n"


def test_running_jobs_are_cancelled_only_on_request(acme):
    signalled: list[object] = []
    running_work_unwanted.connect(
        lambda sender, tenant_id, **_: signalled.append(tenant_id), weak=False, dispatch_uid="t"
    )
    try:
        call_command("suspend_tenant", "acme", reason="unpaid")
        assert signalled == []
        call_command("suspend_tenant", "acme", "--cancel-running", reason="unpaid")
        assert signalled == [acme.pk]
    finally:
        running_work_unwanted.disconnect(dispatch_uid="t")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suspend_tenant", "unknown", "--reason", "x"), "no tenant 'unknown'"),
        (("suspend_tenant", "acme", "--reason", " "), "reason"),
        (("suspend_tenant", "acme", "--reason", "x", "--until", "2020-01-01T00:00:00Z"), "future|past|later"),
        (("reinstate_tenant", "unknown"), "no tenant 'unknown'"),
    ],
)
def test_invalid_suspension_is_an_error(acme, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command(*arguments)


def test_tenant_with_a_requested_erasure_is_not_reinstated(acme):
    call_command("suspend_tenant", "acme", reason="left")
    call_command("erase_tenant", "acme", "--reason", "left", "--confirm", "acme")
    with pytest.raises(CommandError, match="cancel the erasure first"):
        call_command("reinstate_tenant", "acme")


def test_key_is_printed_once_alone_and_works(acme, capsys):
    call_command("issue_api_key", "acme", "--scope=developer")
    token = capsys.readouterr().out.strip()
    assert authenticate_api_key(token=token).tenant == acme


def test_key_is_printed_as_json(acme, capsys):
    call_command("issue_api_key", "acme", "--scope=developer", name="ci", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["tenant"], printed["name"]) == ("acme", "ci")
    assert str(authenticate_api_key(token=printed["token"]).pk) == printed["id"]


def test_key_of_an_unknown_tenant_is_an_error():
    with pytest.raises(CommandError, match="no tenant 'unknown'"):
        call_command("issue_api_key", "unknown", "--scope=developer")
