"""`ordering` of lists: each order pages exactly, and what a list does not have is refused."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from tenants.api import walked_pages
from tenants.models import Tenant
from tests.integration.api.test_access import API, assert_problem
from tests.integration.scheduling.job_helpers import submit


def walk(client: APIClient, url: str, key: str, direction: str = "next") -> list[Any]:
    """Return the values of a list in the order of its pages."""
    found, pages = [], 0
    address: str | None = url
    while address is not None:
        page = client.get(address).json()
        found += [row[key] for row in page["results"]]
        address, pages = page[direction], pages + 1
        assert pages < 50
    return found


@pytest.mark.parametrize("query", ["", "&kind=noop", "&tag=a"])
def test_jobs_are_paged_in_either_order(
    acme: Tenant, acme_api: APIClient, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walked_pages, "LOOK_LIMIT", 2)
    jobs = [str(submit(acme, tags=["a"] if number % 3 else [])[0].pk) for number in range(9)]
    wanted = [job for number, job in enumerate(jobs) if number % 3 or "tag" not in query]
    url = f"{API}jobs/?limit=2{query}"
    assert walk(acme_api, f"{url}&ordering=id", "id") == wanted
    assert walk(acme_api, f"{url}&ordering=-id", "id") == wanted[::-1]
    assert walk(acme_api, url, "id") == wanted[::-1]


def test_oldest_first_pages_lead_back(acme: Tenant, acme_api: APIClient) -> None:
    jobs = [str(submit(acme)[0].pk) for _ in range(5)]
    url = f"{API}jobs/?limit=2&ordering=id"
    second = acme_api.get(acme_api.get(url).json()["next"]).json()
    assert [row["id"] for row in second["results"]] == jobs[2:4]
    first = acme_api.get(second["previous"]).json()
    assert [row["id"] for row in first["results"]] == jobs[:2]


def test_plans_and_tiers_have_orders_of_their_own(staff_api: APIClient) -> None:
    slugs = walk(staff_api, f"{API}plans/?limit=1&ordering=slug", "slug")
    assert slugs == sorted(slugs)
    assert walk(staff_api, f"{API}plans/?limit=1&ordering=-slug", "slug") == slugs[::-1]
    ranks = walk(staff_api, f"{API}tiers/?limit=1", "rank")
    assert (ranks, len(ranks) > 1) == (sorted(ranks), True)
    positions = walk(staff_api, f"{API}routing-rules/?limit=2", "position")
    assert (positions, len(positions) > 2) == (sorted(positions), True)


@pytest.mark.parametrize(
    "path", ["jobs/?ordering=priority", "jobs/?ordering=--id", "jobs/?ordering=", "usage/?ordering=id"]
)
def test_unknown_order_is_refused(acme_api: APIClient, path: str) -> None:
    assert_problem(acme_api.get(API + path), 422, "field_invalid")


def test_list_without_pages_has_no_order(staff_api: APIClient) -> None:
    for name in ("queues", "pools", "kinds", "upkeep", "job-kinds"):
        assert_problem(staff_api.get(f"{API}{name}/?ordering=id"), 422, "field_invalid")
