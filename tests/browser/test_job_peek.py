"""The panel that shows a job beside the list of jobs."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]


def test_peek_shows_the_history_in_one_column(console: Console, acme: Tenant) -> None:
    job = wait_for(submit(acme, "noop", {})[0], "completed")
    console.log_in()
    page = console.page
    page.set_viewport_size({"width": 1440, "height": 900})
    console.open(f"/admin/scheduling/job/?q=id:{job.pk}")
    page.locator("[data-peek]").first.click()
    words = page.locator("#job-peek .console-timeline li > div:last-child").first
    expect(words).to_be_visible()
    box = words.bounding_box()
    assert box is not None
    assert box["width"] > 200
