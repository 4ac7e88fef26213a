"""The tenants' commands: what they print, and that they fail by name."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tenants.selectors.tenants import find_tenant
from tenants.services.api_keys import authenticate_api_key

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


def test_a_key_is_printed_once_alone_and_works(acme, capsys):
    call_command("issue_api_key", "acme")
    token = capsys.readouterr().out.strip()
    assert authenticate_api_key(token=token).tenant == acme


def test_a_key_is_printed_as_json(acme, capsys):
    call_command("issue_api_key", "acme", name="ci", json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["tenant"], printed["name"]) == ("acme", "ci")
    assert str(authenticate_api_key(token=printed["token"]).pk) == printed["id"]


def test_a_key_of_nobody_is_an_error():
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("issue_api_key", "nobody")
