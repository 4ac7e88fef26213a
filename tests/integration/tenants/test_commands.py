"""The tenants' commands: what they print, and that they fail by name."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tenants.access.api_keys import authenticate_api_key
from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tenants.signals import running_work_unwanted
from tenants.tenancy.queries import find_tenant

pytestmark = pytest.mark.django_db


def test_a_tenant_is_created_and_its_facts_are_printed(capsys):
    call_command("create_tenant", "initech", plan="team", name="Initech", json=True)
    tenant = find_tenant("initech")
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"id": str(tenant.pk), "slug": "initech", "name": "Initech", "plan": "team"}
    with all_tenants():
        entry = AuditLogEntry.objects.get(action="tenant.created")
    assert (entry.actor_kind, entry.actor_id) == ("command", "create_tenant")


def test_a_tenant_that_exists_is_an_error(acme):
    with pytest.raises(CommandError, match="'acme' exists"):
        call_command("create_tenant", "acme", plan="team")


def test_a_plan_that_does_not_exist_is_an_error():
    with pytest.raises(CommandError, match="no plan 'gold'"):
        call_command("create_tenant", "initech", plan="gold")


def suspension(*arguments: str) -> dict[str, object]:
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    facts: dict[str, object] = json.loads(out.getvalue())
    return facts


def test_a_tenant_is_suspended_and_reinstated_with_reasons_that_are_kept(acme):
    stopped = suspension("suspend_tenant", "acme", "--reason", "unpaid", "--until", "2999-01-01T00:00:00Z")
    assert (stopped["status"], stopped["reason"]) == ("suspended", "unpaid")
    assert stopped["suspended_until"] == "2999-01-01T00:00:00+00:00"
    assert find_tenant("acme").is_suspended
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
        told = [(entry.action, entry.actor_id, entry.reason) for entry in entries]
    assert told == [
        ("tenant.suspended", "suspend_tenant", "unpaid"),
        ("tenant.reinstated", "reinstate_tenant", "paid"),
    ]


def test_the_words_say_whether_a_tenant_is_suspended(acme, capsys):
    call_command("suspend_tenant", "acme", reason="unpaid")
    assert capsys.readouterr().out == "acme is suspended: unpaid\n"
    call_command("reinstate_tenant", "acme")
    assert capsys.readouterr().out == "acme is active.\n"


def test_what_runs_is_cancelled_only_when_that_is_asked_for(acme):
    heard: list[object] = []
    running_work_unwanted.connect(lambda sender, tenant_id, **_: heard.append(tenant_id), weak=False, dispatch_uid="t")
    try:
        call_command("suspend_tenant", "acme", reason="unpaid")
        assert heard == []
        call_command("suspend_tenant", "acme", "--cancel-running", reason="unpaid")
        assert heard == [acme.pk]
    finally:
        running_work_unwanted.disconnect(dispatch_uid="t")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suspend_tenant", "nobody", "--reason", "x"), "no tenant 'nobody'"),
        (("suspend_tenant", "acme", "--reason", " "), "reason"),
        (("suspend_tenant", "acme", "--reason", "x", "--until", "2020-01-01T00:00:00Z"), "future|past|later"),
        (("reinstate_tenant", "nobody"), "no tenant 'nobody'"),
    ],
)
def test_what_cannot_be_done_to_a_tenant_is_an_error(acme, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command(*arguments)


def test_a_tenant_that_is_to_be_erased_is_not_reinstated(acme):
    call_command("suspend_tenant", "acme", reason="left")
    call_command("erase_tenant", "acme", "--reason", "left", "--confirm", "acme")
    with pytest.raises(CommandError, match="cancel the erasure first"):
        call_command("reinstate_tenant", "acme")


def test_a_key_is_printed_once_alone_and_works(acme, capsys):
    call_command("issue_api_key", "acme", "--scope=developer")
    token = capsys.readouterr().out.strip()
    assert authenticate_api_key(token=token).tenant == acme


def test_a_key_is_printed_as_json(acme, capsys):
    call_command("issue_api_key", "acme", "--scope=developer", name="ci", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["tenant"], printed["name"]) == ("acme", "ci")
    assert str(authenticate_api_key(token=printed["token"]).pk) == printed["id"]


def test_a_key_of_nobody_is_an_error():
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("issue_api_key", "nobody", "--scope=developer")
