"""A tenant's settings: read, changed, refused, audited, by API, console and command, isolated between tenants."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import translation
from rest_framework.test import APIClient

from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.encryption.data_keys import forget_keys
from tenants.encryption.service import NoMasterKeyError
from tenants.exceptions import (
    SettingForbiddenError,
    SettingsRefusedError,
    SettingsStaleError,
    SettingUnknownError,
)
from tenants.models import AuditLogEntry, PlanLimit, Role, Tenant, TenantSecret, TenantSettings
from tenants.secrets.service import create_secret
from tenants.settings import schema as setting_schema
from tenants.settings.schema import MASK, Setting, SettingGroup, read_stored, settings_of, tenant_setting
from tenants.settings.service import change_settings

pytestmark = pytest.mark.django_db

URL = "/api/v1/tenants/me/settings/"
PLANTED = SettingGroup(
    "Planted",
    (
        Setting(
            key="planted.relay",
            title="Password",
            help_text="Of the relay.",
            schema={"type": "string"},
            default="",
            is_secret=True,
            host_of="planted.url",
        ),
        Setting(key="planted.url", title="Relay", help_text="Its URL.", schema={"type": "string"}, default=""),
        Setting(
            key="planted.cap",
            title="Cap",
            help_text="Of the platform.",
            schema={"type": "integer", "minimum": 0},
            default=1,
            editor="platform",
        ),
    ),
)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a plug-in with a secret and a setting only for the platform."""
    configs = [*setting_schema.apps.get_app_configs()]
    plug_in = SimpleNamespace(label="planted", tenant_settings=f"{__name__}:PLANTED")
    monkeypatch.setattr(setting_schema, "apps", SimpleNamespace(get_app_configs=lambda: [*configs, plug_in]))
    setting_schema.reset()
    yield
    setting_schema.reset()


@pytest.fixture
def acme_owner_api(acme_user) -> APIClient:
    client = APIClient()
    client.force_login(acme_user)
    return client


def last_audit() -> AuditLogEntry:
    with all_tenants():
        return AuditLogEntry.objects.filter(action="settings.changed").order_by("-id")[0]


def test_settings_of_a_new_tenant_are_the_defaults(acme: Tenant) -> None:
    assert settings_of(acme)["timezone"] == "UTC"
    assert tenant_setting(acme, "jobs.log_level") == "info"
    assert read_stored(acme.pk).version == 0


def test_change_is_applied_audited_and_visible_only_to_the_tenant(acme: Tenant, globex: Tenant) -> None:
    change_settings(tenant=acme, values={"timezone": "Europe/Berlin"}, reason="we moved")
    assert (tenant_setting(acme, "timezone"), tenant_setting(globex, "timezone")) == ("Europe/Berlin", "UTC")
    entry = last_audit()
    assert (entry.tenant_id, entry.before, entry.after) == (
        acme.pk,
        {"timezone": None},
        {"timezone": "Europe/Berlin"},
    )
    assert entry.reason == "we moved"
    with tenant_context(globex):
        assert not TenantSettings._base_manager.exists()


def test_reset_deletes_the_value_and_unchanged_values_write_nothing(acme: Tenant) -> None:
    change_settings(tenant=acme, values={"jobs.log_level": "debug"})
    assert change_settings(tenant=acme, values={"jobs.log_level": "debug"}).version == 1
    row = change_settings(tenant=acme, values={}, reset=["jobs.log_level"])
    assert (row.version, row.stored) == (2, {})
    assert change_settings(tenant=acme, values={}, reset=["jobs.log_level"]).version == 2
    with all_tenants():
        assert AuditLogEntry.objects.filter(action="settings.changed").count() == 2


def test_boolean_is_refused_for_an_integer_setting(acme: Tenant) -> None:
    change_settings(tenant=acme, values={"jobs.default_priority": 1})
    with pytest.raises(SettingsRefusedError):
        change_settings(tenant=acme, values={"jobs.default_priority": True})


@pytest.mark.parametrize(
    ("values", "error", "field"),
    [
        ({"nothing.here": 1}, SettingUnknownError, "nothing.here"),
        ({"jobs.log_level": "loud"}, SettingsRefusedError, "jobs.log_level"),
        ({"jobs.default_priority": "7"}, SettingsRefusedError, "jobs.default_priority"),
        ({"timezone": "Mars/Olympus"}, SettingsRefusedError, "timezone"),
        ({"retrieval.chunk_tokens": 30}, SettingsRefusedError, "retrieval.chunk_overlap_tokens"),
    ],
)
def test_refused_value_names_its_field_and_changes_nothing(acme, values, error, field) -> None:
    with pytest.raises(error) as refused:
        change_settings(tenant=acme, values={"jobs.log_level": "debug", **values})
    assert refused.value.errors[0]["field"] == field
    assert read_stored(acme.pk).stored == {}


def test_number_is_limited_by_the_plan(acme: Tenant) -> None:
    with all_tenants():
        PlanLimit.objects.update_or_create(plan=acme.plan, key="retention.finished_jobs_days", defaults={"value": 30})
    change_settings(tenant=acme, values={"retention.finished_jobs_days": 30})
    with pytest.raises(SettingsRefusedError, match="at most 30"):
        change_settings(tenant=acme, values={"retention.finished_jobs_days": 31})


@pytest.fixture
def sealing(change_platform_settings) -> Iterator[None]:
    """Set a master key, which secrets need."""
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"k" * 32).decode()])
    yield
    forget_keys()


RELAY = "{{ secrets.planted_relay }}"
GIVEN = {"planted.url": "https://relay.example.com/x", "planted.relay": "hunter2-hunter2"}


def secrets_of(tenant: Tenant) -> dict[str, tuple[list[str], int]]:
    with tenant_context(tenant):
        return {secret.name: (secret.hosts, secret.version) for secret in TenantSecret.objects.all()}


def test_secret_setting_is_stored_as_secret_and_shown_as_reference(
    planted, sealing, acme: Tenant, acme_owner_api
) -> None:
    row = change_settings(tenant=acme, values=GIVEN)
    assert row.stored == {"planted.url": GIVEN["planted.url"], "planted.relay": RELAY}
    assert secrets_of(acme) == {"planted_relay": (["relay.example.com"], 1)}
    assert last_audit().after["planted.relay"] == RELAY
    answer = acme_owner_api.get(URL)
    assert answer.json()["values"]["planted.relay"] == RELAY
    assert "hunter2" not in answer.content.decode() + json.dumps(settings_of(acme))
    # The shown values are sent back, and nothing changes.
    assert change_settings(tenant=acme, values={"planted.relay": RELAY}).version == row.version
    change_settings(tenant=acme, values={"planted.relay": "another value"})
    assert secrets_of(acme) == {"planted_relay": (["relay.example.com"], 2)}


@pytest.mark.parametrize(
    ("values", "reset"),
    [
        ({"planted.url": "https://evil.example.com/x"}, []),
        ({}, ["planted.url"]),
        ({}, ["planted.relay"]),
        ({"planted.relay": ""}, []),
    ],
)
def test_change_of_host_or_reset_deletes_secret_of_setting(planted, sealing, acme: Tenant, values, reset) -> None:
    change_settings(tenant=acme, values=GIVEN)
    row = change_settings(tenant=acme, values=values, reset=reset)
    assert secrets_of(acme) == {}
    assert settings_of(acme)["planted.relay"] == ""
    assert last_audit().before["planted.relay"] == RELAY
    assert row.stored.get("planted.relay", "") == ""


def test_change_of_path_or_of_host_with_new_value_keeps_secret(planted, sealing, acme: Tenant) -> None:
    change_settings(tenant=acme, values=GIVEN)
    change_settings(tenant=acme, values={"planted.url": "https://relay.example.com/y"})
    assert secrets_of(acme) == {"planted_relay": (["relay.example.com"], 1)}
    change_settings(tenant=acme, values={"planted.url": "https://other.example.com", "planted.relay": "new value"})
    assert secrets_of(acme) == {"planted_relay": (["other.example.com"], 2)}


def test_named_secret_of_setting_survives_change_of_host(planted, sealing, acme: Tenant) -> None:
    create_secret(tenant=acme, name="mine", value="a long value", hosts=["relay.example.com"])
    change_settings(tenant=acme, values={**GIVEN, "planted.relay": "{{ secrets.mine }}"})
    change_settings(tenant=acme, values={"planted.url": "https://evil.example.com"})
    assert settings_of(acme)["planted.relay"] == "{{ secrets.mine }}"
    assert secrets_of(acme) == {"mine": (["relay.example.com"], 1)}


@pytest.mark.parametrize(
    "values", [{"planted.relay": "a long value"}, {"planted.relay": "short", "planted.url": "https://a.example.com"}]
)
def test_secret_setting_without_host_or_too_short_is_refused(planted, sealing, acme: Tenant, values) -> None:
    with pytest.raises(SettingsRefusedError) as refused:
        change_settings(tenant=acme, values=values)
    assert [fault["field"] for fault in refused.value.errors] == ["planted.relay"]
    assert secrets_of(acme) == {}


def test_secret_setting_without_master_key_is_refused(planted, change_platform_settings, acme: Tenant) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[])
    with pytest.raises(NoMasterKeyError, match="ENCRYPTION_MASTER_KEYS"):
        change_settings(tenant=acme, values=GIVEN)
    assert read_stored(acme.pk).stored == {}


def test_plain_value_of_secret_in_row_counts_as_not_set(planted, acme: Tenant) -> None:
    with tenant_context(acme):
        TenantSettings.objects.create(tenant=acme, stored={"planted.relay": "hunter2-hunter2"})
    assert settings_of(acme)["planted.relay"] == ""


def test_platform_setting_is_changed_only_by_the_platform(planted, acme: Tenant) -> None:
    with pytest.raises(SettingForbiddenError):
        change_settings(tenant=acme, values={"planted.cap": 9})
    change_settings(tenant=acme, values={"planted.cap": 9}, by_platform=True)
    with pytest.raises(SettingForbiddenError):
        change_settings(tenant=acme, values={}, reset=["planted.cap"])
    assert tenant_setting(acme, "planted.cap") == 9


def test_settings_of_a_removed_plug_in_are_kept_by_name(acme: Tenant, acme_owner_api) -> None:
    with tenant_context(acme):
        TenantSettings.objects.create(tenant=acme, stored={"gone.key": "hunter2"}, version=4)
    answer = acme_owner_api.get(URL)
    assert answer.json()["orphaned"] == ["gone.key"]
    assert "hunter2" not in answer.content.decode()
    change_settings(tenant=acme, values={"timezone": "Asia/Tokyo"})
    assert read_stored(acme.pk).stored["gone.key"] == "hunter2"
    change_settings(tenant=acme, values={}, reset=["gone.key"])
    assert "gone.key" not in read_stored(acme.pk).stored
    assert last_audit().before == {"gone.key": MASK}


@pytest.mark.django_db(transaction=True)
def test_concurrent_changes_of_one_version_refuse_one(acme: Tenant) -> None:
    outcomes: list[str] = []

    def change(zone: str) -> None:
        try:
            change_settings(tenant=acme, values={"timezone": zone}, version=0)
            outcomes.append("changed")
        except SettingsStaleError:
            outcomes.append("stale")
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(zone,)) for zone in ("Asia/Tokyo", "Europe/Berlin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["changed", "stale"]


def test_api_reads_changes_and_refuses_stale_versions(acme: Tenant, acme_owner_api: APIClient) -> None:
    read = acme_owner_api.get(URL)
    assert (read.status_code, read.headers["ETag"], read.json()["version"]) == (200, '"0"', 0)
    body = {"values": {"timezone": "Asia/Tokyo"}}
    changed = acme_owner_api.patch(URL, body, format="json", HTTP_IF_MATCH='"0"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"1"')
    assert changed.json()["changed"] == ["timezone"]
    for stale in ('"0"', 'W/"0"', '"x"'):
        answer = acme_owner_api.patch(URL, {"reset": ["timezone"]}, format="json", HTTP_IF_MATCH=stale)
        assert (answer.status_code, answer.json()["code"]) == (412, "settings_stale"), stale
    assert acme_owner_api.patch(URL, {"reset": ["timezone"]}, format="json", HTTP_IF_MATCH="*").status_code == 200


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"values": {"no.such": 1}}, "setting_unknown", "no.such"),
        ({"values": {"jobs.log_level": 5}}, "setting_invalid", "jobs.log_level"),
        ({"timezone": "UTC"}, "field_invalid", "timezone"),
        ({"values": []}, "invalid", "values"),
    ],
)
def test_api_names_the_refused_field(acme, acme_owner_api, body, code, field) -> None:
    answer = acme_owner_api.patch(URL, body, format="json")
    assert (answer.status_code, answer.json()["code"], answer.json()["errors"][0]["field"]) == (422, code, field)


def test_viewer_reads_settings_and_cannot_write(acme: Tenant, outsider) -> None:
    add_member(tenant=acme, user=outsider, role=Role.VIEWER)
    client = APIClient()
    client.force_login(outsider)
    assert client.get(URL).status_code == 200
    assert client.patch(URL, {"values": {"timezone": "Asia/Tokyo"}}, format="json").status_code == 403


def test_schema_describes_each_setting(acme: Tenant, acme_owner_api: APIClient) -> None:
    groups = acme_owner_api.get(f"{URL}schema/").json()
    described = {setting["key"]: setting for group in groups for setting in group["settings"]}
    assert described["jobs.log_level"]["schema"] == {"enum": ["debug", "info", "warning", "error"]}
    assert described["timezone"]["default"] == "UTC"


def test_console_shows_changes_and_resets(acme: Tenant, acme_user, client: Client) -> None:
    client.force_login(acme_user)
    page = client.get(reverse("admin:tenants_tenantsettings_changelist"))
    assert page.status_code == 200
    html = page.content.decode()
    assert "Takes effect at once, for running jobs too." in html
    url = reverse("admin:tenants_tenantsettings_of", args=[acme.pk])
    sent = _fields(page) | {"timezone": "Asia/Tokyo"}
    assert client.post(url, sent).status_code == 302
    assert read_stored(acme.pk).stored == {"timezone": "Asia/Tokyo"}
    assert client.post(url, sent | {"timezone": "Europe/Berlin"}).status_code == 422
    reset = _fields(client.get(url)) | {"reset:timezone": "on"}
    assert client.post(url, reset).status_code == 302
    assert read_stored(acme.pk).stored == {}


def test_console_shows_the_error_beside_the_field(acme: Tenant, acme_user, client: Client) -> None:
    client.force_login(acme_user)
    url = reverse("admin:tenants_tenantsettings_of", args=[acme.pk])
    answer = client.post(url, _fields(client.get(url)) | {"timezone": "Mars/Olympus"})
    assert answer.status_code == 422
    assert "timezone" in answer.context["form"].errors


def test_foreign_tenants_page_is_not_found(acme: Tenant, globex: Tenant, acme_user, client: Client) -> None:
    client.force_login(acme_user)
    url = reverse("admin:tenants_tenantsettings_of", args=[globex.pk])
    assert client.get(url).status_code == 404
    assert client.post(url, {"version": 0, "timezone": "Asia/Tokyo"}).status_code == 404


def test_platform_users_choose_a_tenant_and_change_its_settings(acme: Tenant, staff, client: Client) -> None:
    client.force_login(staff)
    listed = client.get(reverse("admin:tenants_tenantsettings_changelist"))
    url = reverse("admin:tenants_tenantsettings_of", args=[acme.pk])
    assert url in listed.content.decode()
    assert client.post(url, _fields(client.get(url)) | {"timezone": "Asia/Tokyo"}).status_code == 302
    assert read_stored(acme.pk).stored == {"timezone": "Asia/Tokyo"}


def test_command_sets_resets_and_prints(acme: Tenant) -> None:
    out = io.StringIO()
    call_command(
        "tenant_settings",
        "acme",
        "--set",
        "timezone=Asia/Tokyo",
        "--set",
        "jobs.default_priority=3",
        "--json",
        stdout=out,
    )
    facts = json.loads(out.getvalue())
    assert (facts["changed"], facts["values"]["jobs.default_priority"]) == (["timezone", "jobs.default_priority"], 3)
    out = io.StringIO()
    call_command("tenant_settings", "acme", "--reset", "timezone", stdout=out)
    assert 'timezone = "UTC"  (default)' in out.getvalue()
    with pytest.raises(CommandError, match="setting_unknown"):
        call_command("tenant_settings", "acme", "--set", "no.such=1")


def _fields(page) -> dict[str, object]:
    """Return what a browser sends of the unchanged form of the page."""
    form = page.context["form"]
    sent = {bound.html_name: bound.value() for bound in form if not bound.html_name.startswith("reset:")}
    return {name: "" if value is None else value for name, value in sent.items()}


def test_refused_value_is_explained_in_the_readers_language_unless_secret(planted, acme: Tenant) -> None:
    with translation.override("zh-hans"):
        with pytest.raises(SettingsRefusedError) as refused:
            change_settings(tenant=acme, values={"jobs.default_priority": "7"})
        with pytest.raises(SettingsRefusedError) as secret:
            change_settings(tenant=acme, values={"planted.relay": 47_11})
    assert refused.value.errors[0]["detail"] == "'7' 的类型不是 'integer'"
    assert "4711" not in str(secret.value.errors) + secret.value.detail
