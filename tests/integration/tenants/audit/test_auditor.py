"""The auditor process: requirements for its start, isolation of its login and key, and two at once."""

from __future__ import annotations

import base64
import os
from io import StringIO

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection

from jobsplatform.embedded.develop import write_environment
from scheduling.management.commands.run_platform import AUDITOR_VARIABLES, _take_out_of_environment
from scheduling.models import ProcessHeartbeat
from tenants.audit.chain import GENESIS
from tenants.audit.signing import public_key_text
from tenants.audit.verification import verify_chains
from tenants.context import all_tenants
from tenants.database.conf import APP_ALIAS, auditor_role
from tenants.models import AuditPending
from tests.acceptance.processes import eventually
from tests.auditing import auditing, auditor_login
from tests.integration.tenants.audit.conftest import act, seals_of

pytestmark = pytest.mark.django_db(transaction=True)
KEY = base64.b64encode(bytes(range(32))).decode()


def test_auditor_does_not_start_without_its_login_or_a_key(settings, change_platform_settings, monkeypatch):
    monkeypatch.setattr(django_settings, "DATABASES", {APP_ALIAS: settings.DATABASES[APP_ALIAS]})
    with pytest.raises(CommandError, match="DATABASE_AUDITOR_URL"):
        call_command("run_auditor")
    change_platform_settings(IS_SECRET_KEY_GIVEN=False)
    with pytest.raises(CommandError, match="AUDIT_SIGNING_KEY"):
        call_command("run_auditor")
    change_platform_settings(AUDIT_PUBLIC_KEYS=[public_key_text()], IS_SECRET_KEY_GIVEN=True)
    with pytest.raises(CommandError, match="AUDIT_SIGNING_KEY"):
        call_command("run_auditor")


def test_auditor_prints_its_public_key(change_platform_settings):
    change_platform_settings(AUDIT_SIGNING_KEY=KEY)
    out = StringIO()
    call_command("run_auditor", public_key=True, stdout=out)
    assert out.getvalue().strip() == public_key_text()


def test_run_platform_passes_login_and_key_only_to_the_auditor(change_platform_settings, monkeypatch):
    change_platform_settings(AUDIT_SIGNING_KEY=KEY)
    monkeypatch.setenv("DATABASE_AUDITOR_URL", "postgres://a")
    monkeypatch.setenv("AUDIT_SIGNING_KEY", KEY)
    monkeypatch.setenv("AUDIT_PUBLIC_KEYS", "")
    taken = _take_out_of_environment(AUDITOR_VARIABLES)
    assert taken == {"DATABASE_AUDITOR_URL": "postgres://a", "AUDIT_SIGNING_KEY": KEY}
    # Without a value: each service reads a missing variable from `.env`.
    assert [os.environ[name] for name in AUDITOR_VARIABLES] == ["", ""]
    assert os.environ["AUDIT_PUBLIC_KEYS"] == public_key_text()


def test_development_environment_holds_the_keys_and_the_addresses(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "a key of all processes")
    write_environment(tmp_path / "dev.env", API="http://127.0.0.1:8000/api/v1")
    written = (tmp_path / "dev.env").read_text()
    assert f"AUDIT_PUBLIC_KEYS={public_key_text()}" in written.replace("'", "")
    assert "SECRET_KEY='a key of all processes'\n" in written
    assert written.endswith("API=http://127.0.0.1:8000/api/v1\n")


def test_auditor_works_on_its_own_login():
    with auditor_login(), all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT session_user, current_user")
        assert cursor.fetchone() == (auditor_role(), auditor_role())
    with all_tenants(), connection.cursor() as cursor:
        cursor.execute("SELECT session_user")
        assert cursor.fetchone() != (auditor_role(),)


def test_two_auditors_make_one_chain_and_each_has_a_heartbeat(acme):
    with auditing(), auditing():
        for number in range(60):
            act(acme, number)
        eventually(is_all_sealed, what="all is sealed")
        eventually(lambda: count_auditors() == 2, what="both have a heartbeat")
    seals = seals_of(acme.pk)
    assert [seal.sequence for seal in seals] == list(range(1, len(seals) + 1))
    assert [seal.previous_hash for seal in seals] == [GENESIS, *(seal.hash for seal in seals[:-1])]
    assert verify_chains().findings == []


def is_all_sealed() -> bool:
    with all_tenants():
        return not AuditPending.objects.exists()


def count_auditors() -> int:
    with all_tenants():
        return ProcessHeartbeat.objects.filter(role=ProcessHeartbeat.Role.AUDITOR).count()
