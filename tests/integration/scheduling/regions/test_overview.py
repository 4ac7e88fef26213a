"""The overview by region, and what stops if a region is lost."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from scheduling.dispatch.tick import run_tick
from scheduling.models import Queue, Worker
from scheduling.overview.queries import read_overview
from scheduling.regions.queries import read_regions
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.scheduling.job_helpers import submit
from tests.integration.scheduling.regions.conftest import allow, route

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


@pytest.fixture
def work(acme: Tenant, globex: Tenant, us: Queue, eu: Queue) -> None:
    """Let acme, which allows eu only, and globex have jobs in eu: four in flight, of six and three."""
    route(eu)
    submit(allow(acme, "eu"), 6, fair_key="a")
    submit(globex, 3)
    with all_tenants():
        Worker.objects.update(slots=0)
    run_tick(eu.pool_id)


def test_lost_region_stops_tenants_that_allow_no_other(work: None) -> None:
    eu, us = read_regions()
    assert (eu.name, eu.pools, us.name) == ("eu", ["eu-pool"], "us")
    assert (eu.waiting, eu.stuck_tenants, eu.stuck_jobs, eu.stuck_slugs) == (9, 1, 6, ["acme"])
    assert eu.movable_jobs == 3
    assert (us.waiting, us.stuck_tenants, us.stuck_jobs) == (0, 0, 0)


def test_slots_of_lost_region_are_counted(us: Queue, eu: Queue) -> None:
    with all_tenants():
        Worker.objects.filter(hostname="us").update(slots=7)
    found = {region.name: (region.slots, region.slots_left, region.workers) for region in read_regions()}
    assert found == {"eu": (4, 7, 1), "us": (7, 4, 1)}


def test_tenant_with_another_live_region_is_not_stuck(acme: Tenant, us: Queue, eu: Queue) -> None:
    allow(acme, "eu", "us")
    assert [region.stuck_tenants for region in read_regions()] == [0, 0]
    with all_tenants():
        Worker.objects.filter(hostname="us").update(status="stopped")
    assert [region.stuck_tenants for region in read_regions()] == [1, 0]


def test_overview_lists_regions_for_staff_only(acme: Tenant, us: Queue, eu: Queue) -> None:
    with all_tenants():
        assert [(row.name, row.slots, row.workers) for row in read_overview().regions] == [("eu", 4, 1), ("us", 4, 1)]


def test_console_shows_regions(work: None, staff: User, client: Client) -> None:
    client.force_login(staff)
    page = client.get(reverse("admin:scheduling_workerpool_changelist")).content.decode()
    assert "If a region is lost" in page
    assert "acme" in page
    assert 'id="overview-regions"' in client.get(reverse("admin:index")).content.decode()


def test_api_lists_regions(work: None, staff: User, client: Client) -> None:
    client.force_login(staff)
    rows = client.get("/api/v1/regions/").json()
    assert [(row["name"], row["stuck_slugs"]) for row in rows] == [("eu", ["acme"]), ("us", [])]


def test_console_sets_the_regions_of_a_tenant(acme: Tenant, staff: User, client: Client) -> None:
    client.force_login(staff)
    form = {"name": "Acme", "plan": acme.plan_id, "weight_factor": "1", "home_region": "eu", "allowed_regions": "eu,us"}
    answer = client.post(reverse("admin:tenants_tenant_change", args=[acme.pk]), form)
    assert answer.status_code == 302
    with all_tenants():
        acme.refresh_from_db()
    assert (acme.home_region, acme.allowed_regions) == ("eu", ["eu", "us"])
