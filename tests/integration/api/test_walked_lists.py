"""Filters without an index: each page reads a bounded number of rows, and the pages together show all matches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import pytest
from rest_framework.test import APIClient

from scheduling.models import Job
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.integration.console.conftest import make_work
from tests.integration.scheduling.job_helpers import submit

JOBS, LETTERS = "/api/v1/jobs/", "/api/v1/dead-letters/"
# More pages than any list here has.
MOST_PAGES = 50


@pytest.fixture(autouse=True)
def look_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenants.api.walked_pages.LOOK_LIMIT", 3)


def walk(client: APIClient, address: str | None, *, by: str = "next") -> Iterator[list[str]]:
    """Yield the ids of each page, from this one on."""
    for _ in range(MOST_PAGES):
        if address is None:
            return
        answer = client.get(address)
        assert answer.status_code == 200, answer.content
        yield [row["id"] for row in answer.json()["results"]]
        address = answer.json()[by]
    pytest.fail("The list does not end.")


def joined(pages: Iterable[list[str]]) -> list[str]:
    return list(chain.from_iterable(pages))


def last_page(client: APIClient, address: str) -> str:
    """Return the address of the last page."""
    for _ in range(MOST_PAGES):
        following = client.get(address).json()["next"]
        if following is None:
            return address
        address = following
    pytest.fail("The list does not end.")


def scattered(acme: Tenant) -> list[str]:
    """Submit few tagged jobs among many, newest first: adjacent, at edges of looks, and alone between empty looks."""
    tagged = []
    for gap in (0, 0, 2, 11, 3, 0, 7):
        if gap:
            submit(acme, count=gap)
        tagged += [str(job.pk) for job in submit(acme, tags=("rare",))]
    submit(acme, count=9)
    return tagged[::-1]


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_rare_tag_is_found_page_by_page_in_both_directions(acme: Tenant, acme_api: APIClient, limit: int) -> None:
    wanted = scattered(acme)
    first = f"{JOBS}?tag=rare&limit={limit}"
    pages = list(walk(acme_api, first))
    assert joined(pages) == wanted
    assert pages[0] == []  # nine jobs precede it, and a page reads only a few
    back = list(walk(acme_api, last_page(acme_api, first), by="previous"))
    assert joined(reversed(back)) == wanted


def test_previous_link_of_every_page_leads_to_the_pages_before(acme: Tenant, acme_api: APIClient) -> None:
    wanted = scattered(acme)
    address, seen = f"{JOBS}?tag=rare&limit=2", 0
    while address is not None:
        answer = acme_api.get(address).json()
        before = wanted[:seen]
        found = joined(reversed(list(walk(acme_api, answer["previous"], by="previous"))))
        assert found == before, address
        seen += len(answer["results"])
        address = answer["next"]


def test_absent_tag_ends_with_an_empty_page(acme: Tenant, acme_api: APIClient) -> None:
    submit(acme, count=10)
    pages = list(walk(acme_api, f"{JOBS}?tag=absent"))
    assert pages[-1] == []
    assert joined(pages) == []


@pytest.mark.parametrize(
    "query", ["kind=noop", "queue=tasks_team", "fair_key=", "state=available", "state=scheduled&kind=noop"]
)
def test_other_filters_without_an_index_are_walked(acme: Tenant, acme_api: APIClient, query: str) -> None:
    jobs = [str(job.pk) for job in submit(acme, count=5)][::-1]
    pages = list(walk(acme_api, f"{JOBS}?{query}"))
    is_scheduled = "scheduled" in query
    assert joined(pages) == ([] if is_scheduled else jobs)
    # Scheduled jobs have their own table, which is empty.
    assert len(pages) == (1 if is_scheduled else 2)


@pytest.mark.parametrize("query", ["", "state=discarded", "created_after=2020-01-01T00:00:00Z"])
def test_indexed_filter_is_not_cut_off(acme: Tenant, acme_api: APIClient, query: str) -> None:
    submit(acme, count=5)
    assert len(list(walk(acme_api, f"{JOBS}?{query}"))) == 1


def test_jobs_of_a_batch_are_found_by_the_batch(acme: Tenant, acme_api: APIClient) -> None:
    batch = make_work(acme).failed.batch_id
    submit(acme, count=5)
    (page,) = walk(acme_api, f"{JOBS}?batch={batch}&kind=noop")
    assert page


def test_time_span_sets_where_the_look_begins(acme: Tenant, acme_api: APIClient) -> None:
    old = submit(acme, tags=("rare",))[0]
    submit(acme, count=10)
    with all_tenants():
        made = Job.objects.get(pk=old.pk).created_at
    (page,) = list(walk(acme_api, f"{JOBS}?tag=rare&created_after=2020-01-01T00:00:00Z&created_before={made:%FT%TZ}"))
    assert page == []


def test_dead_letters_are_walked_likewise(acme: Tenant, acme_api: APIClient) -> None:
    letter = make_work(acme).letter
    pages = list(walk(acme_api, f"{LETTERS}?error=parse"))
    assert joined(pages) == [str(letter.pk)]
    assert list(walk(acme_api, f"{LETTERS}?error=absent")) == [[]]


def test_cursor_without_a_key_is_refused(acme: Tenant, acme_api: APIClient) -> None:
    submit(acme, count=2)
    answer = acme_api.get(JOBS, {"tag": "rare", "cursor": "cD1ub25zZW5zZQ=="})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_invalid")
