"""Tenants' data keys: created, stored, rotated, and deleted with their tenant."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tenants.checks import check_master_keys, check_sealing
from tenants.context import all_tenants, tenant_context
from tenants.encryption import data_keys
from tenants.encryption.data_keys import forget_keys, opening_key, require_keys, sealing_key
from tenants.encryption.exceptions import DataKeyUnavailableError
from tenants.encryption.fields import digest_of
from tenants.models import AuditLogEntry, Tenant, TenantDataKey
from tenants.tenancy.service import create_tenant
from tests.platform_settings import ChangePlatformSettings


def master(fill: str) -> str:
    return base64.b64encode(fill.encode() * 32).decode()


@pytest.fixture(autouse=True)
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    yield
    forget_keys()


def keys_of(tenant: Tenant) -> list[TenantDataKey]:
    with all_tenants():
        return list(TenantDataKey.objects.filter(tenant=tenant).order_by("pk"))


def run(command: str, *arguments: str) -> Any:
    out = StringIO()
    call_command(command, *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_tenant_is_created_with_a_key(acme: Tenant) -> None:
    (row,) = keys_of(acme)
    assert sealing_key(acme.pk).id == row.pk


def test_tenant_without_a_key_gets_one_with_its_first_value(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    old = create_tenant(slug="old", plan="team")
    assert keys_of(old) == []
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    with tenant_context(old):
        first = sealing_key(old.pk)
    assert [row.pk for row in keys_of(old)] == [first.id]
    assert sealing_key(old.pk).id == first.id


@pytest.mark.django_db(transaction=True)
def test_key_of_a_rolled_back_transaction_is_not_cached(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    old = create_tenant(slug="old", plan="team")
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    with tenant_context(old):
        undone = sealing_key(old.pk)
        transaction.set_rollback(True)
    assert sealing_key(old.pk).id != undone.id
    assert [row.pk for row in keys_of(old)] == [sealing_key(old.pk).id]


@pytest.mark.django_db(transaction=True)
def test_key_is_read_once(acme: Tenant) -> None:
    forget_keys()
    key = sealing_key(acme.pk)
    with CaptureQueriesContext(connection) as asked:
        assert sealing_key(acme.pk) is opening_key(acme.pk, key.id)
    assert len(asked) == 0


@pytest.mark.django_db(transaction=True)
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, acme: Tenant, globex: Tenant) -> None:
    forget_keys()
    monkeypatch.setattr(data_keys, "MOST_TENANTS", 1)
    sealing_key(acme.pk)
    sealing_key(globex.pk)
    assert len(data_keys._cache) == 1


def test_keys_are_visible_only_to_their_tenant(acme: Tenant, globex: Tenant) -> None:
    with tenant_context(globex):
        assert not TenantDataKey.objects.filter(tenant=acme).exists()


def test_key_of_a_missing_master_key_is_named(change_platform_settings: ChangePlatformSettings, acme: Tenant) -> None:
    key = sealing_key(acme.pk)
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    for use in (lambda: sealing_key(acme.pk), lambda: opening_key(acme.pk, key.id), lambda: require_keys(acme.pk)):
        with pytest.raises(DataKeyUnavailableError, match="lacks the master key"):
            use()


def test_changed_master_key_rewraps_and_changes_no_data_key(
    change_platform_settings: ChangePlatformSettings, acme: Tenant, globex: Tenant
) -> None:
    before, digest = sealing_key(acme.pk).id, digest_of(acme.pk, b"x")
    (old,) = keys_of(acme)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    assert run("rotate_encryption_keys") == {"rewrapped": 2, "replaced": 0}
    (new,) = keys_of(acme)
    assert new.pk == old.pk
    assert (bytes(new.wrapped), new.master_key_id) != (bytes(old.wrapped), old.master_key_id)
    assert run("rotate_encryption_keys") == {"rewrapped": 0, "replaced": 0}
    # The former master key is no longer needed.
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    assert (sealing_key(acme.pk).id, digest_of(acme.pk, b"x")) == (before, digest)
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="encryption.keys_rewrapped").count() == 1


def test_rewrapping_without_the_former_master_key_is_refused(
    change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    (old,) = keys_of(acme)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b")])
    with pytest.raises(CommandError, match="data_key_unavailable"):
        run("rotate_encryption_keys")
    assert bytes(keys_of(acme)[0].wrapped) == bytes(old.wrapped)


def test_process_with_a_cached_key_continues_during_rewrapping(
    change_platform_settings: ChangePlatformSettings, acme: Tenant
) -> None:
    known = data_keys._unwrap(acme.pk, [])  # no keys yet
    assert known.current_id is None
    with all_tenants():
        TenantDataKey.objects.update(created_at="2020-01-01T00:00:00Z")
    key = sealing_key(acme.pk)
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("b"), master("a")])
    run("rotate_encryption_keys")
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    data_keys._read_and_keep([acme.pk])
    assert sealing_key(acme.pk) is key


def test_new_data_keys_seal_and_former_ones_open(acme: Tenant, globex: Tenant) -> None:
    old, digest = sealing_key(acme.pk), digest_of(acme.pk, b"x")
    assert run("rotate_encryption_keys", "--new-data-keys", "--tenant", "acme") == {"rewrapped": 0, "replaced": 1}
    assert sealing_key(acme.pk).id != old.id
    assert opening_key(acme.pk, old.id).id == old.id
    assert digest_of(acme.pk, b"x") == digest
    assert len(keys_of(globex)) == 1


def test_digests_differ_between_tenants(
    change_platform_settings: ChangePlatformSettings, acme: Tenant, globex: Tenant
) -> None:
    assert digest_of(acme.pk, b"x") not in (b"x", digest_of(globex.pk, b"x"))
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    assert digest_of(acme.pk, b"x") == b"x"


@pytest.mark.django_db
def test_commands_need_a_master_key(change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    for command in ("rotate_encryption_keys", "encrypt_stored_values"):
        with pytest.raises(CommandError, match="no_master_key"):
            run(command)


def test_deploy_check_reports_encryption_faults(change_platform_settings: ChangePlatformSettings) -> None:
    assert (check_sealing(), check_master_keys()) == ([], [])
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    assert [found.id for found in (*check_sealing(), *check_master_keys())] == ["tenants.W001"]
    change_platform_settings(ENCRYPTION_MASTER_KEYS=["short"])
    assert [found.id for found in (*check_sealing(), *check_master_keys())] == ["tenants.E006"]
