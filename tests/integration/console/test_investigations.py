"""Console and API of investigations."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.models import Investigation, Worker
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.admin_actions import Console
from tests.integration.scheduling.investigation.helpers import FINGERPRINT, make_alert, plant_bad_version, titles

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def bad_version(acme: Tenant, globex: Tenant) -> Worker:
    return plant_bad_version(acme, globex)


def test_console_investigates_an_alert_and_records_the_outcome(
    console: Console, staff: User, bad_version: Worker
) -> None:
    client, alert = console(staff), make_alert()
    response = client.post(reverse("admin:scheduling_alert_act", args=[alert.pk, "investigate"]))
    with all_tenants():
        row = Investigation.objects.get()
    url = reverse("admin:scheduling_investigation_change", args=[row.pk])
    assert response.headers["Location"] == url
    page = client.get(url).content.decode()
    assert "version 2.0" in page
    assert "Timeline" in page
    listed = client.get(reverse("admin:scheduling_investigation_changelist")).content.decode()
    assert "version 2.0" in listed
    del response


def test_console_links_a_cause_and_a_cell_to_the_form(console: Console, staff: User, bad_version: Worker) -> None:
    client = console(staff)
    page = client.get(reverse("admin:failures")).content.decode()
    assert f"investigation/add/?fingerprint={FINGERPRINT}" in page
    form = reverse("admin:scheduling_investigation_add")
    shown = client.get(form, {"fingerprint": FINGERPRINT, "began_at": "2026-01-01T00:00:00Z"}).content.decode()
    assert FINGERPRINT in shown
    day, clock = f"{timezone.now() - timedelta(minutes=3):%Y-%m-%d %H:%M:%S}".split(" ")
    made = client.post(form, {"fingerprint": FINGERPRINT, "began_at_0": day, "began_at_1": clock})
    assert made.status_code == 302, made.content.decode()[:2000]
    with all_tenants():
        assert "version 2.0" in titles(Investigation.objects.get())[0]


def test_api_investigates_and_records_the_outcome(acme_user: User, acme: Tenant, bad_version: Worker) -> None:
    client = APIClient()
    client.force_login(acme_user)
    began = (timezone.now() - timedelta(minutes=3)).isoformat()
    made = client.post("/api/v1/investigations/", {"kind": "noop", "began_at": began}, format="json")
    assert made.status_code == 201, made.content
    url = f"/api/v1/investigations/{made.json()['id']}/"
    assert client.get(url).json()["evidence"]["first"]["message"] == "ValueError: no header"
    done = client.post(f"{url}outcome/", {"cause": None, "has_helped": False, "note": "none"}, format="json")
    assert (done.status_code, done.json()["has_helped"]) == (200, False)
    assert client.post("/api/v1/investigations/", {"kind": "noop"}, format="json").status_code == 422
