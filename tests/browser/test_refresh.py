"""Pages that refresh by polling: the overview, and a job's page until the job has ended."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduling.jobs.cancellation import cancel_jobs
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = pytest.mark.browser
PATIENCE_MS = 60_000
# A poll every 5 s of a part cached for 2.5 s and folded every second or two.
REFRESH_MS = 15_000
POLL = "/admin/overview/?"


def record_requests(page: Page) -> list[str]:
    """Return a list to which the URL of each further request is added."""
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    return urls


def test_overview_refreshes_without_streams(console: Console, acme: Tenant) -> None:
    console.log_in()
    page = console.page
    urls = record_requests(page)
    tile = page.locator(".console-tile").filter(has_text="Dead letters").locator(".console-tile-value")
    before = tile.inner_text()
    wait_for(submit(acme, "fail", {"how": "permanent"})[0], "discarded")
    expect(tile).not_to_have_text(before, timeout=REFRESH_MS)
    assert find_violations(page) == []
    assert [url for url in urls if "/stream/" in url] == []

    page.evaluate("getSelection().selectAllChildren(document.querySelector('#overview .console-tile-value'))")
    urls.clear()
    page.wait_for_timeout(7_000)
    assert [url for url in urls if url.endswith(POLL)] == []
    with page.expect_request(lambda request: request.url.endswith(POLL), timeout=REFRESH_MS):
        page.evaluate("getSelection().removeAllRanges()")


def test_job_page_stops_polling_after_end(console: Console, acme: Tenant) -> None:
    job = wait_for(submit(acme, "sleep", {"seconds": 120})[0], "executing")
    console.log_in()
    console.open(f"/admin/scheduling/job/{job.pk}/change/")
    page = console.page
    age = page.locator("[data-live-age=job-body]")
    expect(age).to_be_visible()
    with tenant_context(acme):
        cancel_jobs(job_ids=[job.pk])
    expect(page.locator(".console-facts").get_by_text("cancelled")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator(".console-states")).to_contain_text("cancelled")
    expect(age).to_have_count(0)
    urls = record_requests(page)
    page.wait_for_timeout(3_000)
    assert [url for url in urls if url.endswith("/body/")] == []
