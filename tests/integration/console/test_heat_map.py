"""Page and API of the heat map: each choice is shown, tenants see their own rows, cells link to jobs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from rest_framework.test import APIClient

from scheduling.models import SeriesHour
from scheduling.statistics.heat_map import HeatMeasure, HeatSpan
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("rows", SeriesHour.Scope.values)
def test_page_shows_each_choice(console: Console, staff: User, acme_work: Work, rows: str) -> None:
    client = console(staff)
    for measure in HeatMeasure.values:
        for span in HeatSpan.values:
            query = {"measure": measure, "rows": rows, "range": span}
            assert client.get(reverse("admin:heat_map"), query).status_code == 200
            assert client.get(reverse("admin:heat_map_fragment"), {**query, "view": "table"}).status_code == 200


def test_cell_opens_the_jobs_of_its_hour(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    page = client.get(reverse("admin:heat_map"), {"rows": "tenant"}).content.decode()
    (link,) = {part.split('"')[0] for part in page.split('<a href="')[1:] if "created" in part.split('"')[0]}
    listed = client.get(link.replace("&amp;", "&"))
    assert listed.status_code == 200
    assert str(acme_work.failed.pk) in listed.content.decode()


def test_member_sees_only_its_own_rows(console: Console, acme_user: User, acme_work: Work, globex_work: Work) -> None:
    client = console(acme_user)
    page = client.get(reverse("admin:heat_map"), {"rows": "tenant", "tenant": "globex"}).content.decode()
    assert "globex" not in page.lower()
    assert "rows=worker" not in page
    assert "noop: at most 1." in page


def test_api_returns_the_map_of_the_tenant(acme_user: User, acme_work: Work, globex_work: Work) -> None:
    client = APIClient()
    client.force_login(acme_user)
    answer = client.get("/api/v1/heat-map/", {"measure": "failures", "range": "7d"}).json()
    (row,) = answer["rows"]
    assert (row["name"], sum(cell["value"] or 0 for cell in row["cells"])) == ("noop", 1)
    assert client.get("/api/v1/heat-map/", {"rows": "tenant"}).status_code == 422
