"""Forms whose change a service refuses: the page shows the reasons beside the input, which is kept."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.models import AlertRule
from tenants.context import all_tenants

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]

VALUES = {
    "name": "typed with care",
    "measure": "failure_rate",
    "per": "kind",
    "comparison": "gt",
    "threshold": "7",
    "for_seconds": "0",
    "clear_seconds": "60",
    "zone": "UTC",
    "severity": "warning",
    "is_enabled": "on",
}


def test_refused_new_row_keeps_the_input_and_names_the_field(staff: User, console: Any) -> None:
    client: Client = console(staff)
    url = reverse("admin:scheduling_alertrule_add")
    answer = client.post(url, VALUES)
    assert answer.status_code == 200
    form = answer.context["adminform"].form
    assert "at most 1" in str(form.errors["threshold"])
    assert form["name"].value() == "typed with care"
    with all_tenants():
        assert not AlertRule.objects.filter(name="typed with care").exists()
    assert client.post(url, {**VALUES, "threshold": "0.5"}).status_code == 302


def test_refused_change_keeps_the_input_and_stores_nothing(staff: User, console: Any) -> None:
    client: Client = console(staff)
    client.post(reverse("admin:scheduling_alertrule_add"), {**VALUES, "threshold": "0.5"})
    with all_tenants():
        rule = AlertRule.objects.get(name="typed with care")
        taken = AlertRule.objects.exclude(pk=rule.pk)[0].name
    url = reverse("admin:scheduling_alertrule_change", args=[rule.pk])
    answer = client.post(url, {**VALUES, "threshold": "0.5", "name": taken})
    assert answer.status_code == 200
    assert "Another row has this name" in str(answer.context["adminform"].form.non_field_errors())
    with all_tenants():
        assert AlertRule.objects.get(pk=rule.pk).name == "typed with care"
