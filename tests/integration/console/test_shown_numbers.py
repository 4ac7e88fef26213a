"""Numbers of the console that are true: attempts, slots, errors of predictions, ranges of charts, waits in one box."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from scheduling.fleet.workers import register_worker
from scheduling.models import Job, KindCost, Worker
from scheduling.overview.queries import read_overview
from scheduling.overview.tiles import build_tiles
from scheduling.shares.admin import KindCostAdmin
from scheduling.statistics.gauges import sample_gauges
from scheduling.stops.pauses import pause_kind
from tenants.access.memberships import add_member
from tenants.console.site import console_site
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tests.integration.console.conftest import Work
from tests.integration.scheduling.job_helpers import submit

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]


def test_job_that_succeeded_at_once_is_attempt_one_everywhere(
    console: Console, acme_user: User, acme: Tenant, api_client: Callable[[Tenant], APIClient]
) -> None:
    (waiting, done) = submit(acme, 2)
    with all_tenants():
        now = timezone.now()
        Job.objects.filter(pk=done.pk).update(state="completed", started_at=now, finished_at=now)
    api = api_client(acme)
    assert api.get(f"/api/v1/jobs/{done.pk}/").json()["attempt"] == 1
    assert api.get(f"/api/v1/jobs/{waiting.pk}/").json()["attempt"] == 0
    client = console(acme_user)
    listed = client.get(reverse("admin:scheduling_job_changelist")).content.decode()
    assert "1 of 4" in listed
    assert "0 of 4" in listed
    page = client.get(reverse("admin:scheduling_job_change", args=[done.pk])).content.decode()
    assert '<dt>Attempts</dt><dd>1 <span class="console-quiet">of at most 4</span>' in page


def test_failed_job_has_its_failed_attempts_beside_those_that_started(
    console: Console, acme_user: User, acme_work: Work
) -> None:
    page = console(acme_user).get(reverse("admin:scheduling_job_change", args=[acme_work.failed.pk])).content.decode()
    assert '<dt>Attempts</dt><dd>1 <span class="console-quiet">of at most 4, 1 failed' in page


@pytest.mark.usefixtures("no_lock_timeout")
def test_slots_of_upkeep_are_not_for_jobs(live_worker: Worker) -> None:
    register_worker(pool_name="maintenance", hostname="near", pid=1, slots=1)
    with all_tenants():
        sample_gauges()
        overview = read_overview()
        (tile,) = [tile for tile in build_tiles(overview) if tile.label == "Slots used"]
    assert {pool.name for pool in overview.pools} >= {"default", "maintenance"}
    assert tile.unit == "/ 4"
    assert overview.pool_minutes is not None
    assert overview.pool_minutes.slots[-1] == 4


@pytest.mark.parametrize(
    ("mean_us", "error", "bias"),
    [(19_999, "30 ms", "−20 ms"), (20_000, "150% of the measured time", "-100%")],
)
def test_error_of_a_prediction_is_relative_from_twenty_milliseconds_on(mean_us: int, error: str, bias: str) -> None:
    cost = KindCost(kind="noop", mean_us=mean_us, samples=1, error_us=1.5e6, bias_us=-1e6, total_us=1e6)
    shown = KindCostAdmin(KindCost, console_site)
    assert (shown.error(cost), shown.bias_words(cost)) == (error, bias)


def test_charts_have_a_shorter_range(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    short = client.get(reverse("admin:overview_fragment"), {"minutes": "15", "view": "table"}).content.decode()
    whole = client.get(reverse("admin:overview_fragment"), {"minutes": "99", "view": "table"}).content.decode()
    rows = '<th scope="row">'
    assert whole.count(rows) - short.count(rows) == 45
    assert '<a href="?minutes=15">Last 15 min</a>' in client.get(reverse("admin:overview_fragment")).content.decode()


def test_reasons_of_a_wait_are_in_one_box(console: Console, acme_user: User, acme: Tenant) -> None:
    (job,) = submit(acme)
    pause_kind(kind="noop", reason="a fault")
    page = console(acme_user).get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
    assert page.count("Why it waits") == 1
    assert "Jobs of this kind are paused. a fault" in page
    assert "No live worker serves the queue." in page


def test_log_begins_at_the_level_that_is_stored(console: Console, acme_user: User, acme_work: Work) -> None:
    page = console(acme_user).get(reverse("admin:scheduling_job_change", args=[acme_work.failed.pk])).content.decode()
    assert '<a href="?log_level=info" aria-current="true">info</a>' in page


def test_refusal_names_the_missing_permission(acme: Tenant) -> None:
    viewer = User.objects.create_user("vera")
    add_member(tenant=acme, user=viewer, role=Role.VIEWER)
    client = APIClient(headers={"X-Tenant": acme.slug})
    client.force_login(viewer)
    answer = client.post("/api/v1/jobs/", {"kind": "noop", "payload": {}}, format="json")
    assert (answer.status_code, answer.json()["detail"]) == (403, "This requires the permission jobs.submit.")
