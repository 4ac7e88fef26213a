"""Editing of plans: preview before saving, versions in the history, and rollback."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page, expect

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import CFSPlan
from scheduling.plans.service import CFS_PLANS
from tenants.context import all_tenants
from tenants.models import AuditLogEntry, Plan, Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]


def row_of(page: Page, tier: str) -> int:
    """Return the row number of a tier in the table."""
    for index in range(3):
        if page.locator(f"select[name=tiers-{index}-tier]").input_value() == tier:
            return index
    raise AssertionError(tier)


def test_weight_is_previewed_saved_and_rolled_back(console: Console, globex: Tenant, initech: Tenant) -> None:
    work = {"seconds": 0.2}
    jobs = [*submit(globex, "sleep", *[work] * 150), *submit(initech, "sleep", *[work] * 150)]
    wait_for(jobs[0], "completed")
    before = CFSPlan.objects.get(name="cloud")
    try:
        console.log_in()
        page = console.page
        page.get_by_role("link", name="Plans & weights").click()
        page.get_by_role("link", name="cloud").click()
        panel = page.locator("#what-if")
        expect(panel).to_contain_text("Change a number above")
        weight = page.locator(f"input[name=tiers-{row_of(page, 'sandbox')}-weight]")
        row = page.locator("tr").filter(has=weight)
        weight.fill("0")
        expect(row.locator("[data-tier-share]")).to_have_text("0 %")
        expect(panel.get_by_role("alert")).to_contain_text("a whole number from 1 to 1,000")
        weight.fill("30")
        expect(row.locator("[data-tier-share]")).to_have_text("83 %")
        expect(panel).to_contain_text("decisions replayed in")
        expect(panel.locator(".console-weights li").filter(has_text="sandbox")).to_contain_text("83 %")
        first = panel.get_by_role("row").filter(has_text=initech.slug)
        expect(first.first).to_be_visible()
        assert find_violations(page) == []
        assert CFSPlan.objects.get(name="cloud").version == before.version

        page.get_by_label("Reason", exact=True).fill("the sandbox week")
        page.get_by_role("button", name="Save and continue editing").click()
        expect(page.get_by_text("was changed successfully")).to_be_visible()
        after = CFSPlan.objects.get(name="cloud")
        assert after.version == before.version + 1
        assert after.tiers.get(tier_id="sandbox").weight == 30

        versions = page.locator("section[aria-labelledby=row-versions]")
        newest = versions.locator("details").first
        expect(newest).to_contain_text("the sandbox week")
        newest.locator("summary").click()
        expect(newest).to_contain_text("30")
        old = versions.locator("details").filter(has_text=f"Version {before.version}").last
        old.locator("summary").click()
        roll_back(page, old, "it is over")
        expect(page.get_by_text("is at version")).to_be_visible()
        assert CFSPlan.objects.get(name="cloud").tiers.get(tier_id="sandbox").weight == 1
        with all_tenants():
            actions = AuditLogEntry.objects.filter(actor_label=console.user.username).order_by("id")
            assert list(actions.values_list("action", flat=True))[-2:] == ["cfs_plan.changed", "cfs_plan.rolled_back"]
    finally:
        with all_tenants():
            cancel_jobs(job_ids=[job.pk for job in jobs], reason="the test is over")
            CFS_PLANS.roll_back(before, before.version, reason="the test is over")


def roll_back(page: Page, version: Locator, reason: str) -> None:
    """Press the button of a version, and confirm its dialog."""
    version.get_by_role("button", name="Roll back").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason, for the audit log").fill(reason)
    dialog.get_by_role("button", name="Roll back", exact=True).click()


def test_tenant_plan_is_previewed_saved_and_rolled_back(console: Console, globex: Tenant) -> None:
    plan = Plan.objects.get(slug="sandbox")
    console.log_in()
    page = console.page
    console.open(f"/admin/tenants/plan/{plan.pk}/change/")
    page.get_by_label("Weight").fill("3")
    expect(page.locator(".console-weights li").filter(has_text="sandbox")).to_contain_text("weight 3")
    assert find_violations(page) == []
    page.get_by_label("Reason", exact=True).fill("a better sandbox")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert Plan.objects.get(pk=plan.pk).weight == 3
    old = page.locator("section[aria-labelledby=row-versions] details").filter(has_text=f"Version {plan.version}").last
    old.locator("summary").click()
    roll_back(page, old, "too much")
    expect(page.get_by_text("is at version")).to_be_visible()
    assert Plan.objects.get(pk=plan.pk).weight == plan.weight


def test_bin_of_a_saved_limit_asks_first(console: Console) -> None:
    plan = Plan.objects.get(slug="team")
    console.log_in()
    page = console.page
    console.open(f"/admin/tenants/plan/{plan.pk}/change/")
    box = page.locator("input.delete").first
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss() if len(asked) == 1 else dialog.accept()

    page.on("dialog", answer)
    page.locator("label:has(input.delete)").first.click()
    expect(box).not_to_be_checked()
    page.locator("label:has(input.delete)").first.click()
    expect(box).to_be_checked()
    assert all("The row is deleted when the form is saved" in text for text in asked)


def test_stale_form_reports_the_conflict_and_keeps_its_input(console: Console) -> None:
    plan = Plan.objects.get(slug="team")
    console.log_in()
    page = console.page
    console.open(f"/admin/tenants/plan/{plan.pk}/change/")
    page.get_by_label("Weight").fill("7")
    page.locator("input[name=seen_version]").evaluate("field => { field.value = String(Number(field.value) - 1); }")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The plan was saved since you opened it")).to_be_visible()
    expect(page.get_by_label("Weight")).to_have_value("7")
    assert Plan.objects.get(pk=plan.pk).weight == plan.weight


def test_preview_button_works_without_javascript(chromium: Browser, console: Console, globex: Tenant) -> None:
    plan = CFSPlan.objects.get(name="cloud")
    console.log_in()
    state = console.page.context.storage_state()
    context = chromium.new_context(java_script_enabled=False, storage_state=state)
    try:
        page = context.new_page()
        page.goto(f"{console.url}/admin/scheduling/cfsplan/{plan.pk}/change/")
        weight = page.locator(f"input[name=tiers-{row_of(page, 'sandbox')}-weight]")
        weight.fill("30")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator("#what-if")).to_contain_text("decisions replayed in")
        expect(page.locator(".console-weights li").filter(has_text="sandbox")).to_contain_text("weight 30")
        assert CFSPlan.objects.get(name="cloud").tiers.get(tier_id="sandbox").weight == 1
    finally:
        context.close()


def test_failures_and_job_log_are_shown(console: Console, acme: Tenant) -> None:
    job = wait_for(submit(acme, "fail", {"how": "permanent", "message": "page 9 is torn"})[0], "discarded")
    slept = wait_for(submit(acme, "sleep", {"seconds": 0.1})[0], "completed")
    console.log_in()
    page = console.page
    page.get_by_role("link", name="Failures", exact=True).click()
    row = page.get_by_role("row").filter(has_text="page # is torn")
    act, scroller = (
        row.locator("a[href*='operation=requeue']").bounding_box(),
        page.locator(".console-scroll").bounding_box(),
    )
    assert act is not None
    assert scroller is not None
    assert act["x"] + act["width"] <= scroller["x"] + scroller["width"]
    row.get_by_role("link").first.click()
    expect(page.locator("main")).to_contain_text("page 9 is torn")
    assert find_violations(page) == []
    console.open(f"/admin/scheduling/job/{slept.pk}/change/")
    expect(page.locator(".console-log")).to_contain_text("sleeping")
    assert find_violations(page) == []
    assert job.tenant_id == acme.pk
