"""Each wait that the console shows links to a job that waited as long, within the viewer's scope."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from scheduling.models import Execution
from scheduling.statistics.rollups import fold_tallies
from tenants.context import all_tenants
from tests.integration.console.admin_actions import Console
from tests.integration.console.conftest import Work

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_lock_timeout")]


def waited(work: Work, seconds: float) -> str:
    """Set the wait of the tenant's failed job; return the address of its page."""
    with all_tenants():
        Execution.objects.filter(pk=work.execution.pk).update(wait_us=int(seconds * 1e6))
    return reverse("admin:scheduling_job_change", args=[work.failed.pk])


def queue_of(work: Work) -> str:
    return str(work.failed.queue.name)


def test_wait_on_the_overview_opens_a_job_that_waited_as_long(
    console: Console, staff: User, acme_work: Work, globex_work: Work
) -> None:
    page, other = waited(acme_work, 1.0), waited(globex_work, 2.0)
    fold_tallies()
    client = console(staff)
    body = client.get(reverse("admin:overview_fragment")).content.decode()
    links = [part.split('"')[0].replace("&amp;", "&") for part in body.split('href="')[1:] if "seconds=" in part[:200]]
    assert links
    assert {client.get(link).headers["Location"] for link in links} <= {page, other}


@pytest.mark.parametrize("seconds", [1.1, 2.5])
def test_percentile_of_a_bucket_finds_its_jobs(console: Console, staff: User, acme_work: Work, seconds: float) -> None:
    page = waited(acme_work, 1.0)
    address = reverse("admin:wait")
    client = console(staff)
    assert client.get(address, {"queue": queue_of(acme_work), "seconds": seconds}).headers["Location"] == page
    for query in ({"queue": queue_of(acme_work), "seconds": 1.0}, {"queue": "dataset", "seconds": 1.1}):
        answer = client.get(address, query)
        assert answer.headers["Location"] == f"{reverse('admin:scheduling_job_changelist')}?queue={query['queue']}"
    assert "No job that ended recently" in client.get(answer.headers["Location"]).content.decode()


def test_last_bucket_has_no_upper_bound(console: Console, staff: User, acme_work: Work) -> None:
    page = waited(acme_work, 400_000.0)
    query = {"queue": queue_of(acme_work), "seconds": 86_400.0}
    assert console(staff).get(reverse("admin:wait"), query).headers["Location"] == page


@pytest.mark.parametrize(
    "query", [{}, {"queue": "nothing", "seconds": "1"}, {"seconds": "soon"}, {"seconds": "nan"}, {"seconds": "-1e9"}]
)
def test_unknown_values_lead_to_the_jobs(console: Console, staff: User, query: dict[str, str]) -> None:
    answer = console(staff).get(reverse("admin:wait"), query)
    assert answer.headers["Location"].startswith(reverse("admin:scheduling_job_changelist"))


def test_member_is_led_only_to_its_own_jobs(
    console: Console, acme_user: User, acme_work: Work, globex_work: Work
) -> None:
    waited(acme_work, 50.0)
    waited(globex_work, 1.0)
    answer = console(acme_user).get(reverse("admin:wait"), {"queue": queue_of(globex_work), "seconds": 1.5})
    assert str(globex_work.failed.pk) not in answer.headers["Location"]


def test_search_reads_a_bounded_number_of_executions(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    with CaptureQueriesContext(connection) as captured:
        client.get(reverse("admin:wait"), {"queue": queue_of(acme_work), "seconds": 1.0})
    (search,) = [query["sql"] for query in captured.captured_queries if "wait_us" in str(query["sql"])]
    assert "LIMIT 20000" in search
