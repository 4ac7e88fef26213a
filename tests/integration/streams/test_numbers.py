"""The numbers of the first page, read once for all tabs of a scope, and what the console answers without streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from scheduling.dashboards.overview_tiles import build_tiles
from scheduling.dashboards.streams import read_numbers
from scheduling.selectors.overview import read_overview
from scheduling.streams import numbers
from scheduling.streams.numbers import NumbersFeed
from scheduling.streams.subscriptions import NumbersSubscription
from tenants.context import all_tenants, require_scope
from tenants.models import Tenant
from tenants.permissions import Permission
from tenants.services.memberships import add_member, remove_member
from tenants.standing import who_may_no_more
from tests.integration.scheduling.acts import submit

pytestmark = pytest.mark.django_db


class Tab(NumbersSubscription):
    """A tab that keeps what it is handed."""

    def __init__(self, tenant: Tenant | None, language: str = "en", **options: Any) -> None:
        tenant_id = None if tenant is None else tenant.pk
        super().__init__(
            HttpRequest(), Permission.JOBS_VIEW, tenant_id=tenant_id, language=language, read=self.count, **options
        )
        self.heard: list[bytes] = []
        self.readings: list[Any] = []
        # In which scope, and how much it had been told by then.
        self.acted: list[tuple[Any, int]] = []

    def count(self) -> tuple[dict[str, Any], Callable[[], None]]:
        self.readings.append(require_scope().tenant_id)
        return {"scope": str(require_scope().tenant_id)}, self.act

    def act(self) -> None:
        self.acted.append((require_scope().tenant_id, len(self.heard)))

    def offer(self, messages: Any, *, is_last: bool = False) -> None:
        self.heard += messages


def test_tabs_of_one_scope_and_language_share_a_reading(acme: Tenant, globex: Tenant) -> None:
    tabs = [Tab(acme), Tab(acme), Tab(acme, "zh-hans"), Tab(globex), Tab(None), Tab(None)]
    NumbersFeed().look(tabs)
    readings = [reading for tab in tabs for reading in tab.readings]
    assert readings == [acme.pk, acme.pk, globex.pk, None]
    assert [len(tab.heard) for tab in tabs] == [1] * 6
    assert tabs[0].heard == tabs[1].heard != tabs[3].heard
    assert tabs[0].heard[0].startswith(b"event: numbers\ndata: {")


def test_what_is_to_be_done_is_done_once_for_each_when_all_are_told(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabs = [Tab(acme), Tab(acme), Tab(globex), Tab(None)]
    NumbersFeed().look(tabs)
    assert [tab.acted for tab in tabs] == [[(acme.pk, 1)], [], [(globex.pk, 1)], [(None, 1)]]
    # Where the numbers alone take that long, it waits.
    monkeypatch.setattr(numbers, "MOST_SECONDS", 0.0)
    NumbersFeed().look(tabs)
    assert [(len(tab.heard), len(tab.acted)) for tab in tabs] == [(2, 1), (2, 0), (2, 1), (2, 1)]


def test_the_numbers_are_those_of_the_tiles(acme: Tenant) -> None:
    submit(acme, 3)
    with all_tenants():
        told = read_numbers()[0]["tiles"]
        tiles = build_tiles(read_overview())
    assert [(tile["value"], tile["tone"]) for tile in told] == [(tile.value, tile.tone) for tile in tiles]


def test_a_process_that_keeps_no_streams_says_so_and_the_page_asks_for_one(staff: User, acme: Tenant) -> None:
    client = Client()
    client.force_login(staff)
    [job] = submit(acme)
    for url in (reverse("admin:overview_stream"), reverse("admin:scheduling_job_stream", args=[job.pk])):
        # No error, which a browser would complain of; and one that says so opens it no more.
        assert client.get(url).status_code == 204
    page = client.get(reverse("admin:scheduling_job_change", args=[job.pk])).content.decode()
    assert f'data-stream="{reverse("admin:scheduling_job_stream", args=[job.pk])}"' in page
    assert f'data-stream="{reverse("admin:overview_stream")}"' in client.get(reverse("admin:index")).content.decode()


@pytest.mark.parametrize("how", ["log-in ended", "member removed"])
def test_whoever_loses_the_right_is_found_among_all(
    acme: Tenant, acme_user: User, outsider: User, rf: Any, how: str
) -> None:
    membership = add_member(tenant=acme, user=outsider)
    asked = []
    for user in (acme_user, outsider):
        client = Client()
        client.force_login(user)
        client.get(reverse("admin:index"))
        request = client.get(reverse("admin:index")).wsgi_request
        asked.append((request, Permission.JOBS_VIEW))
    assert who_may_no_more(asked) == set()
    if how == "member removed":
        remove_member(membership=membership)
    else:
        client.session.flush()
    assert who_may_no_more(asked) == {asked[1][0]}
