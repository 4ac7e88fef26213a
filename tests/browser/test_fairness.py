"""The fairness explorer on a real run: current shares, and the decision behind a job."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import LiveExecution
from tenants.context import all_tenants
from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.acceptance.processes import eventually
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]

# Samples are ten seconds apart.
SAMPLED_MS = 60_000


def test_shares_and_decisions_of_a_run_are_shown(console: Console, globex: Tenant, initech: Tenant) -> None:
    work = {"seconds": 0.2}
    jobs = [*submit(globex, "sleep", *[work] * 200), *submit(initech, "sleep", *[work] * 200)]
    try:
        console.log_in()
        page = console.page
        page.keyboard.press("g")
        page.keyboard.press("f")
        page.wait_for_url("**/admin/fairness/")
        shares = page.locator(".console-multiples > li")
        line = shares.filter(has_text=initech.name)
        # Updated without a reload.
        expect(line).to_be_visible(timeout=SAMPLED_MS)
        expect(line.locator("svg title")).to_contain_text("entitled to")
        expect(page.locator("section[aria-labelledby=fairness-times]")).to_contain_text(initech.name)

        line.get_by_role("link", name=initech.name).click()
        decisions = page.locator("section[aria-labelledby=fairness-decisions]")
        expect(decisions.get_by_role("heading")).to_contain_text(initech.name)
        expect(decisions.get_by_role("row").nth(1)).to_contain_text("sleep")
        assert find_violations(page) == []

        page.get_by_role("link", name="Show as a table").click()
        table = page.locator("section[aria-labelledby=fairness-shares]")
        expect(table.get_by_role("row").filter(has_text=initech.name)).to_contain_text("/")
        page.get_by_role("link", name="Last 24 hours").click()
        expect(page.get_by_role("link", name="Last 24 hours")).to_have_attribute("aria-current", "true")
        assert find_violations(page) == []

        first = wait_for(jobs[200], "completed")
        decisions.get_by_role("link").first.click()
        page.wait_for_url("**/admin/scheduling/job/*/change/")
        assert first.tenant_id == initech.pk
    finally:
        with all_tenants():
            cancel_jobs(job_ids=[job.pk for job in jobs], reason="the test is over")
        eventually(lambda: not _in_flight(globex, initech), what="the slots are free again")


def _in_flight(*tenants: Tenant) -> bool:
    with all_tenants():
        return LiveExecution.objects.filter(tenant__in=tenants).exists()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fairness_pages_have_no_accessibility_violations(console: Console, scheme: str) -> None:
    console.log_in()
    page = console.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in ("/admin/", "/admin/fairness/", "/admin/fairness/?view=table", "/admin/failures/"):
        console.open(path)
        assert find_violations(page) == [], path
