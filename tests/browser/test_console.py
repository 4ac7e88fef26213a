"""Main tasks in the console: log in, list jobs, requeue one, change the plan and observe the effect."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import CFSPlan, DeadLetter, Execution, Job
from scheduling.plans.service import CFS_PLANS
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Tenant
from tests.acceptance.helpers import fetch, submit, wait_for
from tests.acceptance.processes import eventually
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]

SLEEP_SECONDS = 0.1
# Enough ended executions to distinguish weights of 1 : 4 from 20 : 1.
OBSERVED = 24


def test_dead_letter_is_shown_and_requeued(console: Console, acme: Tenant) -> None:
    job = wait_for(submit(acme, "fail", {"how": "permanent", "message": "page 7 is torn"})[0], "discarded")
    console.log_in()
    page = console.page
    page.get_by_role("link", name="Jobs", exact=True).click()
    row = page.get_by_role("row").filter(has_text=str(job.pk)[-12:])
    expect(row).to_contain_text("discarded")
    row.get_by_role("link").first.click()
    expect(page.get_by_text("page 7 is torn").first).to_be_visible()

    page.get_by_role("link", name="Dead letter", exact=True).click()
    console.act("Requeue", "the page was scanned again")
    expect(page.get_by_text("A new job repeats the work")).to_be_visible()

    with all_tenants():
        letter = DeadLetter.objects.get(job_id=job.pk)
        entry = AuditLogEntry.objects.get(action="job.retried", target_id=str(job.pk))
    assert str(letter.requeued_job_id) in page.url
    assert (entry.reason, entry.actor_label) == ("the page was scanned again", console.user.username)
    again = wait_for(Job(pk=letter.requeued_job_id), "discarded")
    assert again.parent_id == job.pk
    # The page is updated until the job ends.
    expect(page.locator(".console-facts").get_by_text("discarded")).to_be_visible()


def test_page_of_cancelled_job_is_updated(console: Console, acme: Tenant) -> None:
    job = wait_for(submit(acme, "sleep", {"seconds": 120})[0], "executing")
    console.log_in()
    console.open(f"/admin/scheduling/job/{job.pk}/change/")
    page = console.page
    console.act("Cancel", "not needed")
    expect(page.get_by_text("The job will stop at its next safe point")).to_be_visible()
    wait_for(job, "cancelled")
    expect(page.locator(".console-facts").get_by_text("cancelled")).to_be_visible()


def test_changed_weights_take_effect_without_a_restart(console: Console, globex: Tenant, initech: Tenant) -> None:
    jobs = [
        *submit(globex, "sleep", *[{"seconds": SLEEP_SECONDS}] * 300),
        *submit(initech, "sleep", *[{"seconds": SLEEP_SECONDS}] * 300),
    ]
    version = CFSPlan.objects.get(name="cloud").version
    try:
        before = _dispatched_since(timezone.now(), {globex, initech})
        assert before[initech.pk] > before[globex.pk], before
        console.log_in()
        page = console.page
        page.get_by_role("link", name="Plans & weights").click()
        page.get_by_role("link", name="cloud").click()
        weights = {"tasks_sandbox": "20", "tasks_professional": "1"}
        expect(page.get_by_label("Reason", exact=True)).to_be_visible()  # `all` does not wait
        for row in page.locator("tr.form-row, tbody.form-group").filter(has=page.locator("input[name$=-weight]")).all():
            queue = row.locator("select[name$=-queue] option:checked").inner_text()
            if queue in weights:
                row.locator("input[name$=-weight]").fill(weights[queue])
        page.get_by_label("Reason", exact=True).fill("the sandbox week")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("was changed successfully")).to_be_visible()
        after = _dispatched_since(_saved_at(), {globex, initech})
        assert after[globex.pk] > 2 * after[initech.pk], after
    finally:
        with all_tenants():
            cancel_jobs(job_ids=[job.pk for job in jobs], reason="the test is over")
            # By a new version: restored rows without one would leave a history that lacks them.
            CFS_PLANS.roll_back(CFSPlan.objects.get(name="cloud"), version, reason="the test is over")
    assert {fetch(job).state for job in jobs[-3:]} <= {"cancelled", "completed", "executing"}


def test_counts_of_overview_refresh_without_reload(console: Console, acme: Tenant) -> None:
    console.log_in()
    page = console.page
    tile = page.locator(".console-tile").filter(has_text="Dead letters").locator(".console-tile-value")
    before = tile.inner_text()
    wait_for(submit(acme, "fail", {"how": "permanent"})[0], "discarded")
    expect(tile).not_to_have_text(before, timeout=30_000)
    expect(page.get_by_text("No worker is alive")).to_have_count(0)
    expect(page.get_by_text("The dispatcher is silent")).to_have_count(0)


def test_console_is_usable_by_keyboard(console: Console) -> None:
    console.log_in()
    page = console.page
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/admin/scheduling/job/")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.press("Escape")
    # A closed dialog returns the focus, perhaps a moment later.
    expect(page.locator("#search-input-command")).to_be_hidden()
    menu = page.locator("button[aria-haspopup=true]")
    menu.focus()
    expect(menu).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.get_by_text("Dark", exact=True).click()
    expect(page.locator("html")).to_have_class("dark")


def _dispatched_since(since: datetime, tenants: set[Tenant]) -> Counter[object]:
    """Return the number of executions per tenant, of the first OBSERVED dispatched after that time."""

    def observed() -> list[object]:
        with all_tenants():
            ended = Execution.objects.filter(tenant__in=tenants, dispatched_at__gt=since).order_by("dispatched_at")
            tenant_ids = list(ended.values_list("tenant_id", flat=True)[:OBSERVED])
        return tenant_ids if len(tenant_ids) == OBSERVED else []

    return Counter(eventually(observed, what="enough jobs ended"))


def _saved_at() -> datetime:
    with all_tenants():
        return AuditLogEntry.objects.filter(action="cfs_plan.changed").latest("id").at
