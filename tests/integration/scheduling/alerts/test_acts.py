"""What people do about alerts, by service, API, console and commands, each within its tenant."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.alerts import acts
from scheduling.alerts.exceptions import AlertNotFoundError, AlertResolvedError, AlertStillBeyondError
from scheduling.alerts.rules import Sample
from scheduling.models import Alert, AlertRule, AlertSilence
from tenants.context import all_tenants, tenant_context
from tenants.models import AuditLogEntry, Tenant
from tests.integration.console.conftest import console  # noqa: F401 - a fixture of this folder too
from tests.integration.scheduling.alerts.helpers import Turns, make_rule, wait

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
ALERTS = "/api/v1/alerts/"


@pytest.fixture
def of_acme(turns: Turns, acme: Tenant) -> Alert:
    """Return a firing alert of acme; the platform has one, too."""
    make_rule(tenant=acme, name="mine", per="tenant")
    make_rule()
    turns.take(Sample(f"tenant:{acme.pk}", 500, acme.slug, acme.pk), wait(200))
    with tenant_context(acme):
        return Alert.objects.get()


def test_tenant_acts_on_its_own_alerts_only(of_acme: Alert, acme: Tenant, globex: Tenant) -> None:
    with tenant_context(acme):
        alert = acts.acknowledge(alert_id=of_acme.pk, note="mine")
        assert alert.acknowledged_by
        assert alert.note.endswith(": mine")
        entry = AuditLogEntry.objects.get(action="alert.acknowledged")
        assert (entry.tenant_id, entry.reason) == (acme.pk, "mine")
    with tenant_context(globex), pytest.raises(AlertNotFoundError):
        acts.acknowledge(alert_id=of_acme.pk)
    with all_tenants():
        platform = Alert.objects.get(tenant=None)
    with tenant_context(acme), pytest.raises(AlertNotFoundError):
        acts.acknowledge(alert_id=platform.pk)


def test_alert_ends_by_hand_only_when_its_value_is_clear(turns: Turns) -> None:
    make_rule(clear_seconds=600)
    turns.take(wait(101))
    with all_tenants():
        alert = Alert.objects.get()
        with pytest.raises(AlertStillBeyondError):
            acts.resolve_by_hand(alert_id=alert.pk, outcome="helped")
    turns.take(wait(0))
    with all_tenants():
        acts.resolve_by_hand(alert_id=alert.pk, outcome="helped", note="restarted")
    turns.take(wait(0))
    with all_tenants():
        ended = Alert.objects.get()
        assert (ended.state, ended.outcome, ended.outcome_note) == ("resolved", "helped", "restarted")
        with pytest.raises(AlertResolvedError):
            acts.acknowledge(alert_id=alert.pk)
        acts.resolve_by_hand(alert_id=alert.pk, outcome="false")
        assert Alert.objects.get().outcome == "false"


def test_silence_of_an_alert_covers_its_rule_and_object(of_acme: Alert, acme: Tenant, turns: Turns) -> None:
    with tenant_context(acme):
        row = acts.silence(alert_id=of_acme.pk, until=None, reason="known")
        assert (row.tenant_id, row.object_key, row.rule_id) == (acme.pk, of_acme.object_key, of_acme.rule_id)
    turns.take(Sample(f"tenant:{acme.pk}", 500, acme.slug, acme.pk), wait(200))
    with all_tenants():
        assert {alert.tenant_id: alert.silence_id for alert in Alert.objects.all()} == {acme.pk: row.pk, None: None}


def test_api_shows_and_changes_alerts_of_the_tenant(
    of_acme: Alert, acme: Tenant, globex: Tenant, api_client: Any
) -> None:
    client: APIClient = api_client(acme)
    listed = client.get(ALERTS, {"state": "open"}).json()["results"]
    assert [row["id"] for row in listed] == [str(of_acme.pk)]
    assert (listed[0]["rule"], listed[0]["value"], listed[0]["object"]["label"]) == ("mine", 500, "acme")
    url = f"{ALERTS}{of_acme.pk}/"
    assert client.post(f"{url}acknowledge/", {"note": "x"}, format="json").json()["acknowledged_by"]
    answer = client.post(f"{url}resolve/", {"outcome": "helped"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "alert_still_firing")
    assert client.post(f"{url}silence/", {"reason": "known"}, format="json").status_code == 200
    assert client.get(ALERTS, {"state": "resolved"}).json()["results"] == []
    assert client.get(ALERTS, {"nonsense": "1"}).status_code == 422
    foreign: APIClient = api_client(globex)
    assert foreign.get(ALERTS).json()["results"] == []
    assert foreign.get(url).status_code == 404
    assert foreign.post(f"{url}acknowledge/", {}, format="json").status_code == 404


def test_api_of_rules_refuses_warns_and_previews(acme: Tenant, acme_user: User, client: Client) -> None:
    client = APIClient()
    client.force_login(acme_user)
    url = "/api/v1/alert-rules/"
    values = {"name": "slow", "measure": "oldest_wait", "per": "tenant", "comparison": "gt", "threshold": 60}
    answer = client.post(url, values, format="json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["tenant"] == "acme"
    rule = answer.json()["id"]
    assert client.post(url, values, format="json").status_code == 409
    refused = client.post(url, {**values, "name": "x", "per": "queue"}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "per")
    assert client.post(url, {**values, "measure": "nonsense"}, format="json").json()["code"] == "measure_unknown"
    preview = client.post(f"{url}preview/", {key: values[key] for key in values if key != "name"}, format="json")
    assert preview.json()["verdict"] == "unknown"
    assert client.patch(f"{url}{rule}/", {"severity": "critical"}, format="json").json()["severity"] == "critical"
    assert client.delete(f"{url}{rule}/").status_code == 204


def test_console_lists_opens_and_acknowledges(of_acme: Alert, acme_user: User, console: Any) -> None:  # noqa: F811
    client: Client = console(acme_user)
    page = client.get(reverse("admin:scheduling_alert_changelist")).content.decode()
    assert "mine" in page
    assert "waits" not in page
    url = reverse("admin:scheduling_alert_change", args=[of_acme.pk])
    body = client.get(url).content.decode()
    assert "firing" in body
    assert reverse("admin:scheduling_alert_act", args=[of_acme.pk, "acknowledge"]) in body
    assert client.get(reverse("admin:scheduling_alert_act", args=[of_acme.pk, "acknowledge"])).status_code == 405
    client.post(reverse("admin:scheduling_alert_act", args=[of_acme.pk, "acknowledge"]), {"reason": "seen"})
    with all_tenants():
        assert Alert.objects.get(pk=of_acme.pk).note.endswith("seen")
    assert client.get(reverse("admin:alerts_open")).content == b""


def test_badge_counts_firing_alerts(of_acme: Alert, acme_user: User, console: Any) -> None:  # noqa: F811
    assert console(acme_user).get(reverse("admin:alerts_open")).content.startswith(b"1 ")


def test_platform_sees_all_alerts_and_the_rules_with_their_preview(
    of_acme: Alert,
    staff: User,
    console: Any,  # noqa: F811
) -> None:
    client: Client = console(staff)
    page = client.get(reverse("admin:scheduling_alert_changelist")).content.decode()
    assert "mine" in page
    assert "waits" in page
    with all_tenants():
        for alert in Alert.objects.all():
            assert client.get(reverse("admin:scheduling_alert_change", args=[alert.pk])).status_code == 200
        rule = AlertRule.objects.get(name="waits")
    assert client.get(reverse("admin:scheduling_alertrule_changelist")).status_code == 200
    form = client.get(reverse("admin:scheduling_alertrule_change", args=[rule.pk])).content.decode()
    preview = reverse("admin:scheduling_alertrule_preview")
    assert preview in form
    values = {"name": "x", "measure": "oldest_wait", "per": "queue", "comparison": "gt", "threshold": "100"}
    values |= {"for_seconds": "0", "clear_seconds": "0", "zone": "UTC", "severity": "info"}
    assert "Would have fired" in client.post(preview, values).content.decode()
    assert "never fire" in client.post(preview, {**values, "measure": "check", "per": "check"}).content.decode()


def test_commands_list_acknowledge_silence_and_check(of_acme: Alert, turns: Turns) -> None:
    out = StringIO()
    call_command("list_alerts", "--json", stdout=out)
    assert {row["rule_name"] for row in json.loads(out.getvalue())} == {"mine", "waits"}
    call_command("list_alerts", "--tenant", "acme", stdout=(text := StringIO()))
    assert "mine" in text.getvalue()
    assert "waits" not in text.getvalue()
    call_command("ack_alert", str(of_acme.pk), "--note", "seen", stdout=StringIO())
    call_command("silence_alert", str(of_acme.pk), "--reason", "known", stdout=StringIO())
    with all_tenants():
        assert Alert.objects.get(pk=of_acme.pk).acknowledged_by.startswith("command:")
        assert AlertSilence.objects.get().tenant_id == of_acme.tenant_id
    call_command("check_alert_rule", "waits", "--json", stdout=(found := StringIO()))
    assert json.loads(found.getvalue())["count"] == 1
    with pytest.raises(CommandError, match="not_found"):
        call_command("ack_alert", str(UUID(int=1)), stdout=StringIO())
    with pytest.raises(CommandError, match="no alert rule"):
        call_command("check_alert_rule", "nonsense", stdout=StringIO())
