"""Names instead of keys on the pages of rules, routes, silences, alerts and messages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone

from scheduling.alerts import acts
from scheduling.alerts.config import GROUPS, ROUTES, SILENCES
from scheduling.alerts.rules import Sample
from scheduling.models import AlertMessage, AlertNotice, AlertRoute, AlertRule, AlertSilence, ContactGroup
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.conftest import console  # noqa: F401 - a fixture of this folder too
from tests.integration.scheduling.alerts.helpers import Turns, make_contact, make_rule, only_alert

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]
RULE_ADD = "admin:scheduling_alertrule_add"
VALUES = {
    "name": "by choice",
    "measure": "oldest_wait",
    "per": "queue",
    "comparison": "gt",
    "threshold": "100",
    "for_seconds": "0",
    "clear_seconds": "60",
    "zone": "UTC",
    "severity": "warning",
}


def test_rule_stores_the_chosen_days_measures_and_tenant(staff: User, acme: Tenant, console: Any) -> None:  # noqa: F811
    chosen = {"active_days": ["1", "5"], "inhibits": ["share", "incident"], "only_tenant": str(acme.pk)}
    answer = console(staff).post(reverse(RULE_ADD), {**VALUES, **chosen})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    with all_tenants():
        rule = AlertRule.objects.get(name="by choice")
    assert (rule.active_days, sorted(rule.inhibits), rule.only_tenant) == ([1, 5], ["incident", "share"], acme.pk)
    page = console(staff).get(reverse("admin:scheduling_alertrule_change", args=[rule.pk])).content.decode()
    assert page.count("checked") >= 4


def test_rule_of_a_tenant_is_offered_its_own_measures_only(acme_user: User, console: Any) -> None:  # noqa: F811
    form = console(acme_user).get(reverse(RULE_ADD)).context["adminform"].form
    offered = {name for name, _title in form.fields["measure"].choices}
    assert "oldest_wait" in offered
    assert not {"broker_away", "pool_without_worker"} & offered
    assert not {"only_tenant", "notifies_tenant"} & form.fields.keys()


def test_lists_of_routes_and_silences_name_what_they_are_about(staff: User, acme: Tenant, console: Any) -> None:  # noqa: F811
    ends_at = timezone.now() + timedelta(hours=1)
    with all_tenants():
        group = GROUPS.save(ContactGroup(), {"name": "on call"})
        ROUTES.save(AlertRoute(), {"position": 1, "measure": "failure_rate", "group": group})
        SILENCES.save(AlertSilence(), {"only_tenant": acme.pk, "ends_at": ends_at, "reason": "move"})
    client = console(staff)
    assert (
        "Failure rate of five minutes" in client.get(reverse("admin:scheduling_alertroute_changelist")).content.decode()
    )
    page = client.get(reverse("admin:scheduling_alertsilence_changelist")).content.decode()
    assert acme.name in page
    assert str(acme.pk) not in page


def test_alert_its_message_and_its_silence_lead_to_each_other(turns: Turns, staff: User, console: Any) -> None:  # noqa: F811
    make_contact()
    make_rule(measure="new_cause", per="cause", threshold=1)
    turns.take(Sample("cause:ab", 5, "disk full", tenants=("acme",), tenants_count=3), measure="new_cause")
    turns.send()
    alert = only_alert()
    with all_tenants():
        message = AlertMessage.objects.get()
        acts.silence(alert_id=alert.pk, until=None, reason="known")
        dropped = {"what": "resolved", "due_at": timezone.now(), "dropped": "suppressed"}
        AlertNotice.objects.create(alert=alert, revision=9, contact=message.contact, **dropped)
    client = console(staff)
    page = client.get(reverse("admin:scheduling_alert_change", args=[alert.pk])).content.decode()
    assert reverse("admin:scheduling_alertmessage_change", args=[message.pk]) in page
    assert "silenced or explained by another alert" in page
    assert reverse("admin:tenants_tenant_change", args=["acme"]) in page
    assert "and 2 more" in page
    shown = client.get(reverse("admin:scheduling_alertmessage_change", args=[message.pk])).content.decode()
    assert reverse("admin:scheduling_alert_change", args=[alert.pk]) in shown
    assert "disk full" in client.get(reverse("admin:scheduling_alertsilence_changelist")).content.decode()
