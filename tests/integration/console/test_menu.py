"""The menu: few entries, one name per page, and each page below an entry, two clicks away at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.urls import reverse
from selectolax.lexbor import LexborHTMLParser

from jobsplatform.console.navigation import GROUPS, INSPECT, PAGES
from scheduling.models import Worker
from tests.console_pages import newest, paths_of
from tests.integration.access.world import World, make_world
from tests.integration.console.conftest import Work

pytestmark = pytest.mark.django_db
Console = Callable[[User], Client]
MOST_ENTRIES = 15
MOST_CLICKS = 2
# Pages outside the menu: of the account, of the log-in, and parts, files and redirects that are no pages.
OUTSIDE = ("password_change/", "login/", "logout/", "sign-in/", "invitation/")


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    with override_settings(MEDIA_ROOT=tmp_path):
        made = make_world()
        with connection.cursor() as cursor:
            # A test's transaction outlives the settings that some services set for theirs.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield made


def test_menu_has_the_named_entries_and_one_closed_group(console: Console, staff: User) -> None:
    tree = page_of(console(staff), reverse("admin:index"))
    groups = tree.css("#nav-sidebar-apps > ol")
    entries = [name_of(link) for group in groups for link in group.css("li > a:not([hidden])")]
    assert entries == [
        *("Overview", "Jobs", "Failures", "Batches", "Workflows", "Pipelines", "Datasets", "Schedules"),
        *("Tenants", "Plans & weights", "Fairness", "Queues & workers", "Alerts", "Audit", "Settings"),
    ]
    assert len(entries) <= MOST_ENTRIES
    assert len(entries) == sum(map(len, GROUPS))
    (inspect,) = tree.css("#nav-sidebar-apps > details")
    assert inspect.css_first("summary").text(strip=True) == INSPECT.title
    assert "open" not in inspect.attributes
    assert [name_of(link) for link in inspect.css("li > a:not([hidden])")] == [
        "Logs",
        "Timeline",
        "Investigations",
        "Executions",
        "In flight",
        "Job events",
        "Charge ledger",
    ]


def test_owner_of_a_tenant_sees_the_entries_with_pages_that_it_may_view(console: Console, acme_user: User) -> None:
    client = console(acme_user)
    tree = page_of(client, reverse("admin:index"))
    links = {name_of(link): link.attributes["href"] for link in entries_of(tree)}
    assert "Plans & weights" not in links
    assert "Queues & workers" not in links
    assert {"Jobs", "Failures", "Tenants", "Fairness", "Audit", "Settings"} <= set(links)
    for link in links.values():
        answer = client.get(str(link))
        assert answer.status_code == 200, link
        for tab in LexborHTMLParser(answer.content.decode()).css(".console-tabs a"):
            assert client.get(str(tab.attributes["href"])).status_code == 200, tab.attributes["href"]


def test_every_list_has_a_place_in_the_table_of_pages() -> None:
    placed = [page.target for page in PAGES]
    assert len(placed) == len(set(placed))
    assert {model._meta.label for model in admin.site._registry} <= set(placed)


def test_every_page_is_two_clicks_away_and_has_a_parent_and_one_name(world: World) -> None:
    client = world.console["admin"]
    clicks = clicks_to_pages(client)
    lists = {reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") for model in models()}
    assert {path: clicks.get(path) for path in lists if clicks.get(path, 9) > MOST_CLICKS} == {}
    names: dict[str, set[str]] = {}
    faults = []
    for path in paths_of(world):
        tree = opened(client, path)
        if tree is None or path.removeprefix("/admin/").startswith(OUTSIDE):
            continue
        trail = trail_of(tree)
        name = tree.css_first("#page-name").text(strip=True)
        current = [name_of(link) for link in tree.css("#nav-sidebar-apps a.active")]
        tab = [link.text(strip=True) for link in tree.css(".console-tabs a[aria-current]")]
        titled = tree.css_first("title").text(strip=True).split(" | ")[0]
        parent = trail[0] if trail[0] != INSPECT.title else trail[1]
        if titled != name or len(current) != 1 or (current[0] != parent) or (tab and tab != [name]):
            faults.append((path, titled, name, trail, current, tab))
        if path in lists:
            names.setdefault(name, set()).add(path)
        elif len(trail) < 2 and path not in clicks:
            faults.append((path, trail))
    assert faults == []
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


def test_breadcrumb_and_title_name_the_row_and_no_django_app(world: World) -> None:
    client = world.console["admin"]
    applications = {"Scheduling", "Retrieval", "Authentication and Authorization", "Tenants administration"}
    for model in models():
        key = newest(model, world)
        if key is None or model._meta.label == "tenants.TenantSettings":
            continue
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])
        tree = opened(client, path)
        if tree is None:
            continue
        trail = trail_of(tree)
        assert not applications & set(trail), path
        assert not trail[-1].startswith(("View ", "Change ", "Select ")), path
        assert len(trail) >= 2, path


def test_page_of_a_row_highlights_its_entry_and_closes_no_group(console: Console, staff: User, acme_work: Work) -> None:
    client = console(staff)
    letter = page_of(client, reverse("admin:scheduling_deadletter_change", args=[acme_work.letter.pk]))
    assert [name_of(link) for link in letter.css("#nav-sidebar-apps a.active")] == ["Failures"]
    execution = page_of(client, reverse("admin:scheduling_execution_change", args=[acme_work.execution.pk]))
    assert "open" in execution.css_first("#nav-sidebar-apps > details").attributes


def test_index_of_a_django_app_leads_to_the_overview(console: Console, staff: User) -> None:
    answer = console(staff).get(reverse("admin:app_list", args=["scheduling"]))
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("admin:index"))


def test_badge_counts_pending_approvals_that_the_user_may_see(world: World) -> None:
    url = reverse("admin:workflow_execution_approval_pending")
    assert url in world.console["owner"].get(reverse("admin:index")).content.decode()
    assert world.console["owner"].get(url).content.decode().startswith("1 ")
    assert world.console["admin"].get(url).content.decode().startswith("2 ")
    assert world.console["outsider"].get(url).status_code in {302, 403}


def test_badge_is_empty_without_approvals(console: Console, acme_user: User) -> None:
    assert console(acme_user).get(reverse("admin:workflow_execution_approval_pending")).content == b""


def clicks_to_pages(client: Client) -> dict[str, int]:
    """Return how many clicks each page is away from any page: its entry, and its tab there; a closed group is one."""
    tree = page_of(client, reverse("admin:index"))
    clicks: dict[str, int] = {}
    for link in entries_of(tree):
        path = str(link.attributes["href"])
        clicks[path] = 1
        for tab in page_of(client, path).css(".console-tabs a"):
            clicks.setdefault(str(tab.attributes["href"]), 2)
    for link in tree.css("#nav-sidebar-apps > details li > a:not([hidden])"):
        clicks.setdefault(str(link.attributes["href"]), 2)
    return clicks


def entries_of(tree: LexborHTMLParser) -> list[Any]:
    return tree.css("#nav-sidebar-apps > ol > li > a:not([hidden])")


def name_of(link: Any) -> str:
    """Return the name of an entry, without the word of its icon."""
    return str(link.css("span")[1].text(strip=True))


def trail_of(tree: LexborHTMLParser) -> list[str]:
    """Return the parts of the breadcrumb, the page's name last."""
    parts = tree.css("h1 > a, h1 > span.tracking-tight")
    return [part.text(strip=True) for part in parts]


def models() -> list[Any]:
    return list(admin.site._registry)


def page_of(client: Client, path: str) -> LexborHTMLParser:
    answer = client.get(path)
    assert answer.status_code == 200, path
    return LexborHTMLParser(answer.content.decode())


def opened(client: Client, path: str) -> LexborHTMLParser | None:
    """Return a whole page, or None for parts, files, redirects and refusals."""
    answer = client.get(path)
    if answer.status_code != 200 or not answer.headers["Content-Type"].startswith("text/html"):
        return None
    text = answer.content.decode()
    return LexborHTMLParser(text) if "</html>" in text else None


def test_worker_page_has_the_name_of_its_process(console: Console, staff: User, live_worker: Worker) -> None:
    tree = page_of(console(staff), reverse("admin:scheduling_worker_change", args=[live_worker.pk]))
    assert tree.css_first("#page-name").text(strip=True) == "Worker bench:4711"
