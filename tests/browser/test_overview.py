"""The overview and the pages of queues and workers, in both themes, wide and narrow, and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from scheduling.models import Queue, Worker
from scheduling.stops.pauses import pause_queue, resume_queue
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]
SIZES = [("light", 1440), ("dark", 1440), ("light", 390), ("dark", 390)]


@pytest.fixture
def work(acme: Tenant) -> Iterator[Tenant]:
    """Create a completed, a failed and a running job."""
    wait_for(submit(acme, "noop")[0], "completed")
    wait_for(submit(acme, "fail", {"how": "permanent", "message": "page 7 is torn"})[0], "discarded")
    return acme


def enter(console: Console, scheme: str, width: int) -> Console:
    console.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    console.page.set_viewport_size({"width": width, "height": 900})
    console.log_in()
    return console


def pixels_beyond_window(page: Page) -> int:
    """Return the pixels by which the page is wider than its window."""
    width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return int(width)


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_overview_is_complete_and_accessible(console: Console, work: Tenant, scheme: str, width: int) -> None:
    page = enter(console, scheme, width).page
    for name in ("Throughput", "Failure rate", "Dead letters", "Oldest wait", "Waiting", "Slots used"):
        tile = page.locator(".console-tile").filter(has=page.get_by_text(name, exact=True))
        expect(tile.locator("svg.console-spark")).to_be_visible()
    expect(page.locator("svg.console-strip rect")).to_have_count(60)
    # Parts loaded after the frame are rendered.
    expect(page.get_by_role("heading", name="Share against entitlement")).to_be_visible()
    expect(page.locator(".console-heat-kind").filter(has_text="noop")).to_be_visible()
    assert find_violations(page) == []
    assert pixels_beyond_window(page) <= 1


def test_charts_are_redrawn_with_each_poll(console: Console, work: Tenant) -> None:
    page = enter(console, "light", 1440).page
    card = page.locator("section[aria-labelledby=overview-ended]")
    summary, chart = card.locator(".console-foot"), card.locator("svg")
    expect(summary).to_contain_text("completed")
    before = summary.inner_text()
    wait_for(submit(work, "noop")[0], "completed")
    expect(summary).not_to_have_text(before, timeout=30_000)
    expect(chart).to_have_attribute("aria-label", summary.inner_text())
    expect(chart.locator("rect")).to_have_count(60)
    expect(chart.locator("rect title").last).to_contain_text("completed")
    assert chart.locator("path[data-mark=completed]").evaluate("path => path.getBBox().height") > 0
    # Failed runs have a pattern, not only another colour.
    assert chart.locator("path[data-mark=failed]").evaluate("path => getComputedStyle(path).fill").startswith("url(")
    assert find_violations(page) == []


def test_numbers_of_the_charts_are_reachable_by_keyboard(console: Console, work: Tenant) -> None:
    page = enter(console, "dark", 1440).page
    link = page.get_by_role("link", name="Show as a table")
    link.focus()
    page.keyboard.press("Enter")
    table = page.locator("table.console-minutes")
    expect(table.locator("tbody tr")).to_have_count(60)
    assert "view=table" in page.url
    assert find_violations(page) == []
    page.get_by_role("navigation", name="Queue of the charts").get_by_role("link").nth(1).click()
    page.wait_for_url("**queue=**")
    assert "view=table" in page.url


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_pages_of_queues_and_workers_are_complete_and_accessible(
    console: Console, work: Tenant, scheme: str, width: int
) -> None:
    enter(console, scheme, width)
    with all_tenants():
        queue, worker = Queue.objects.get(name="tasks_team").pk, Worker.objects.latest("id").pk
    for path, words in (
        ("/admin/scheduling/queue/", "Empty in"),
        (f"/admin/scheduling/queue/{queue}/change/", "Now"),
        ("/admin/scheduling/worker/", "Last heartbeat"),
        (f"/admin/scheduling/worker/{worker}/change/", "Runs now"),
    ):
        console.open(path)
        expect(console.page.locator("main")).to_contain_text(words)
        assert find_violations(console.page) == [], path
        assert pixels_beyond_window(console.page) <= 1, path
        assert console.faults == [], path


def test_list_of_queues_shows_reason_and_end_of_a_pause(console: Console, work: Tenant) -> None:
    page = enter(console, "light", 1440).page
    with all_tenants():
        queue = Queue.objects.get(name="dataset")
    console.open(f"/admin/scheduling/queue/{queue.pk}/change/")
    console.act("Pause", "disk is full", until="2099-01-31T09:30")
    try:
        expect(page.get_by_text("no job is dispatched until it is resumed")).to_be_visible()
        console.open("/admin/scheduling/queue/")
        row = page.get_by_role("row").filter(has_text="dataset")
        expect(row).to_contain_text("disk is full")
        expect(row).to_contain_text("2099-01-31 09:30")
    finally:
        console.open(f"/admin/scheduling/queue/{queue.pk}/change/")
        console.act("Resume", "there is room again")
    expect(page.get_by_text("its jobs are dispatched again")).to_be_visible()


def test_list_of_queues_is_updated_without_reload(console: Console, work: Tenant) -> None:
    page = enter(console, "light", 1440).page
    console.open("/admin/scheduling/queue/")
    row = page.get_by_role("row").filter(has_text="dataset")
    expect(row).to_contain_text("running")
    with all_tenants():
        queue = Queue.objects.get(name="dataset")
        pause_queue(queue=queue, reason="disk is full", until=None)
    try:
        expect(row).to_contain_text("disk is full", timeout=30_000)
    finally:
        with all_tenants():
            resume_queue(queue=queue, reason="there is room again")
    expect(row).not_to_contain_text("disk is full", timeout=30_000)
    assert find_violations(page) == []


def test_live_part_without_answer_turns_amber_then_red(console: Console, work: Tenant) -> None:
    page = enter(console, "light", 1440).page
    page.clock.install()
    console.open("/admin/scheduling/queue/")
    note = page.locator("[data-live-age=live-rows]")
    expect(note).to_have_attribute("data-age", "fresh")
    page.context.set_offline(True)
    for seconds, age in ((20, "amber"), (60, "red")):
        page.clock.fast_forward(seconds * 1_000)
        expect(note).to_have_attribute("data-age", age)
        expect(note).to_contain_text("Updated")
    page.context.set_offline(False)
    # The failed requests were intended.
    console.faults.clear()
