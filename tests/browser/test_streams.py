"""Pages that are told by a stream where there is one, and ask where there is none; each says which."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from scheduling.services.cancellation import cancel_jobs
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.acts import submit, wait_for
from tests.acceptance.conftest import Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_event_streams import streams
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = pytest.mark.browser
HOW = "[data-live-age] [data-live-how]"
PATIENCE_MS = 60_000


def test_a_page_is_told_where_streams_are_kept_and_asks_where_they_are_not(
    console: Console, shared_platform: Platform, acme: Tenant
) -> None:
    page = console.page

    def told_at() -> int:
        return int(page.locator("#overview-shares").get_attribute("data-told-at") or 0)

    console.log_in()
    expect(page.locator(HOW)).to_contain_text("every 10 s, as no stream is open", timeout=PATIENCE_MS)
    with streams(shared_platform) as port:
        console.url = f"http://127.0.0.1:{port}"
        console.open("/admin/")
        expect(page.locator(HOW)).to_contain_text("numbers every second", timeout=PATIENCE_MS)
        tile = page.locator(".console-tile").filter(has_text="Dead letters").locator(".console-tile-value")
        before = tile.inner_text()
        wait_for(submit(acme, "fail", {"how": "permanent"})[0], "discarded")
        expect(tile).not_to_have_text(before, timeout=PATIENCE_MS)

        # What the stream brings is in its place, charts and all, and from then on no poll asks for it.
        expect(page.locator("[data-told][data-told-at]")).to_have_count(2, timeout=PATIENCE_MS)
        first_told_at = told_at()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        ended = page.locator('[data-chart-summary="ended"]')
        before, was_tagged = ended.inner_text(), page.locator("#overview").get_attribute("data-etag")
        wait_for(submit(acme, "noop")[0], "completed")
        expect(ended).not_to_have_text(before, timeout=PATIENCE_MS)
        expect(page.locator("#overview")).not_to_have_attribute("data-etag", was_tagged or "")
        # Longer than any of them waits between two polls.
        eventually(lambda: told_at() > first_told_at + 11_000, what="the shares are told again and again")
        assert [url for url in asked if url.endswith(("/overview/?", "/overview/shares/"))] == []
        assert find_violations(page) == []

        job = wait_for(submit(acme, "sleep", {"seconds": 120})[0], "executing")
        console.open(f"/admin/scheduling/job/{job.pk}/change/")
        expect(page.locator(HOW)).to_contain_text("as it happens", timeout=PATIENCE_MS)
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
        expect(page.locator(".console-facts").get_by_text("cancelled")).to_be_visible(timeout=PATIENCE_MS)
        expect(page.locator(".console-states")).to_contain_text("cancelled")
        page.goto("about:blank")
