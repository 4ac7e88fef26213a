"""Console and API of objectives."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.models import Objective
from tenants.context import all_tenants
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db


def test_objective_is_added_shown_and_deleted(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    values = {"name": "soon", "kind": "noop", "target_share": "0.95", "target_seconds": "60", "window_days": "28"}
    response = client.post(reverse("admin:scheduling_objective_add"), values)
    assert response.status_code == 302, response.content.decode()[:3000]
    with all_tenants():
        objective = Objective.objects.get()
    page = client.get(reverse("admin:scheduling_objective_changelist")).content.decode()
    assert "95.00% start within 1 minute" in page
    change = client.get(reverse("admin:scheduling_objective_change", args=[objective.pk])).content.decode()
    assert "Budget left" in change


def test_member_sees_no_objective_of_others(
    console: Console, staff: User, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    with all_tenants():
        Objective.objects.create(tenant=globex_work.tenant, name="theirs")
        Objective.objects.create(tenant=acme_work.tenant, name="mine")
        Objective.objects.create(kind="noop", name="the platform's")
    page = console(acme_user).get(reverse("admin:scheduling_objective_changelist")).content.decode()
    assert "mine" in page
    assert "theirs" not in page
    assert "the platform" not in page


def test_api_creates_changes_and_deletes_an_objective_of_the_tenant(acme_user: User, acme_work: Work) -> None:
    client = APIClient()
    client.force_login(acme_user)
    made = client.post("/api/v1/objectives/", {"name": "soon", "kind": "noop"}, format="json")
    assert made.status_code == 201, made.content
    url = f"/api/v1/objectives/{made.json()['id']}/"
    assert made.json()["tenant"] == "acme"
    assert client.get(url).json()["standing"]["budget_left"] == 1
    changed = client.patch(url, {"target_seconds": 300}, format="json", headers={"if-match": made.headers["ETag"]})
    assert changed.json()["target_seconds"] == 300
    refused = client.patch(url, {"tier": "team"}, format="json")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "tier")
    assert client.delete(url).status_code == 204
    assert client.get("/api/v1/objectives/").json()["results"] == []
