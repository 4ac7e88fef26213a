"""The numbers of the first page, read once for all tabs of a scope, and what the console answers without streams."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import reverse

from scheduling.dashboards import streams
from scheduling.dashboards.overview_tiles import build_tiles
from scheduling.dashboards.streams import read_numbers
from scheduling.selectors.overview import read_overview
from scheduling.streams import numbers
from scheduling.streams.numbers import NumbersFeed
from scheduling.streams.subscriptions import NumbersSubscription, Part
from tenants.context import all_tenants, require_scope
from tenants.models import Role, Tenant
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
        self.drawn: list[tuple[Any, int]] = []
        self.parts: list[Part] = []

    def count(self) -> tuple[dict[str, Any], Callable[[], Sequence[Part]]]:
        self.readings.append(require_scope().tenant_id)
        return {"scope": str(require_scope().tenant_id)}, self.draw

    def draw(self) -> Sequence[Part]:
        self.drawn.append((require_scope().tenant_id, len(self.heard)))
        return self.parts

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


def test_parts_are_drawn_once_for_each_when_all_are_told_the_numbers(
    acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabs = [Tab(acme), Tab(acme), Tab(globex), Tab(None)]
    NumbersFeed().look(tabs)
    assert [tab.drawn for tab in tabs] == [[(acme.pk, 1)], [], [(globex.pk, 1)], [(None, 1)]]
    # Where the numbers alone take that long, they wait.
    monkeypatch.setattr(numbers, "MOST_SECONDS", 0.0)
    NumbersFeed().look(tabs)
    assert [(len(tab.heard), len(tab.drawn)) for tab in tabs] == [(2, 1), (2, 0), (2, 1), (2, 1)]


def test_a_part_is_told_to_the_tabs_of_its_scope_whose_viewers_may_see_it(acme: Tenant, globex: Tenant) -> None:
    drawing = Tab(acme)
    drawing.parts = [
        Part("overview", "<p>read only</p>", '"1"', ""),
        Part("overview", "<p>with acts</p>", '"2"', "bulk"),
        Part("shares", "<p>shares\nof all</p>", '"3"'),
    ]
    tabs = [drawing, Tab(acme, variant="bulk"), Tab(globex), Tab(None, variant="bulk")]
    NumbersFeed().look(tabs)
    told = [[json.loads(message.splitlines()[1].removeprefix(b"data: ")) for message in tab.heard[1:]] for tab in tabs]
    assert told[0] == [
        {"name": "overview", "tag": '"1"', "body": "<p>read only</p>"},
        {"name": "shares", "tag": '"3"', "body": "<p>shares\nof all</p>"},
    ]
    assert [part["tag"] for part in told[1]] == ['"2"', '"3"']
    assert told[2:] == [[], []]


@pytest.mark.parametrize(("role", "variant"), [(Role.OWNER, "bulk"), (Role.VIEWER, "")])
def test_a_tab_is_told_the_parts_for_what_its_viewer_may(
    acme: Tenant, outsider: User, monkeypatch: pytest.MonkeyPatch, role: Role, variant: str
) -> None:
    add_member(tenant=acme, user=outsider, role=role)
    subscriptions: list[NumbersSubscription] = []

    def answer(_feed: NumbersFeed, subscription: NumbersSubscription) -> HttpResponse:
        subscriptions.append(subscription)
        return HttpResponse()

    monkeypatch.setattr(streams, "require_streams", lambda request: None)
    monkeypatch.setattr(streams, "stream_response", answer)
    client = Client()
    client.force_login(outsider)
    assert client.get(reverse("admin:overview_stream")).status_code == 200
    assert [(each.tenant_id, each.variant) for each in subscriptions] == [(acme.pk, variant)]


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
