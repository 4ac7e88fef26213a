"""Frequent tasks from the overview to their outcome, with an upper limit of clicks for each."""

from __future__ import annotations

import csv
import itertools
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import BulkOperation, DeadLetter, Job, Schedule
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, Invitation, Role, Tenant
from tests.acceptance.helpers import submit, wait_for, wait_for_all
from tests.acceptance.processes import eventually
from tests.browser.conftest import Console
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser]

NIGHTLY = "30 2 * * *"
BACKLOG = 300
_numbers = itertools.count(1)


@dataclass
class Clicks:
    """Count of the clicks, choices in selects and keyboard activations of a task; typing in a field is not counted."""

    page: Page
    count: int = 0

    def click(self, control: Locator) -> None:
        """Click a control."""
        control.click()
        self.count += 1

    def choose(self, select: Locator, label: str) -> None:
        """Choose an option of a select."""
        select.select_option(label=label)
        self.count += 1

    def press(self, key: str) -> None:
        """Press a key that activates the focused control, or a shortcut."""
        self.page.keyboard.press(key)
        self.count += 1

    def open(self, entry: str) -> None:
        """Open an entry of the menu."""
        self.click(self.page.locator("#nav-sidebar-apps").get_by_role("link", name=entry, exact=True))

    def find(self, text: str, result: str) -> None:
        """Open the palette, type a text and follow one of its results."""
        self.press("Control+k")
        expect(self.page.locator("#search-input-command")).to_be_focused()
        self.page.keyboard.type(text)
        self.click(self.page.locator("#command-results-list a").filter(has_text=result))


def begin(console: Console) -> Clicks:
    """Log in, which ends on the overview, and start to count."""
    console.log_in()
    assert console.page.url == f"{console.url}/admin/"
    return Clicks(console.page)


def become_owner(console: Console, tenant: Tenant) -> None:
    """Use the console as an owner of the tenant instead of as platform staff."""
    console.user = User.objects.create_user(f"olga-{next(_numbers)}", password=PASSWORD)
    add_member(tenant=tenant, user=console.user, role=Role.OWNER)


def fail(tenant: Tenant, *messages: str) -> list[Job]:
    """Run a job for each message that fails with it; return them once all are discarded."""
    jobs = submit(tenant, "fail", *({"how": "permanent", "message": message} for message in messages))
    wait_for_all(jobs, "discarded")
    return jobs


def start_requeue(clicks: Clicks, jobs: int) -> None:
    """Start the bulk operation whose preview is open."""
    expect(clicks.page.get_by_text(f"{jobs} of them are eligible.")).to_be_visible()
    clicks.page.get_by_label("Reason", exact=True).fill("the cause is fixed")
    clicks.click(clicks.page.get_by_role("button", name="Start", exact=True))
    clicks.page.wait_for_url("**/bulkoperation/*/change/")


def assert_retried(tenant: Tenant, jobs: list[Job]) -> None:
    """Wait until each job has been retried by a new one that has run."""
    ids = {job.pk for job in jobs}

    def retries() -> list[Job]:
        with tenant_context(tenant):
            rows = list(Job.objects.filter(parent_id__in=ids))
        return rows if {row.parent_id for row in rows} == ids else []

    found = eventually(retries, what="each job has a retry")
    assert len(found) == len(jobs)
    wait_for_all(found, "discarded")
    with tenant_context(tenant):
        requeued = DeadLetter.objects.filter(job_id__in=ids).values_list("requeued_job_id", flat=True)
        assert set(requeued) == {row.pk for row in found}
    with all_tenants():
        operation = BulkOperation.objects.latest("id")
    assert (operation.operation, operation.reason) == ("requeue", "the cause is fixed")


def assert_completed(tenant: Tenant) -> None:
    """Wait until the only job of the tenant has been completed."""
    with tenant_context(tenant):
        job = Job.objects.get()
    assert (job.kind, job.payload) == ("sleep", {"seconds": 0})
    wait_for(job, "completed")


def test_member_submits_a_job_in_three_clicks(console: Console, acme: Tenant) -> None:
    become_owner(console, acme)
    clicks, page = begin(console), console.page
    clicks.click(page.get_by_role("link", name="Submit a job", exact=True))
    page.wait_for_url("**/job/submit/")
    clicks.choose(page.locator("select[name=kind]"), "sleep")
    page.locator("[name='payload/seconds']").fill("0")
    clicks.click(page.get_by_role("button", name="Submit the job"))
    expect(page.get_by_text("The job is submitted.")).to_be_visible()
    assert_completed(acme)
    assert clicks.count <= 3


def test_staff_submit_a_job_of_a_tenant_in_three_clicks(console: Console, acme: Tenant) -> None:
    clicks, page = begin(console), console.page
    clicks.find(f"submit sleep {acme.slug}", f"Submit a sleep job for {acme}")
    page.locator("[name='payload/seconds']").fill("0")
    clicks.click(page.get_by_role("button", name="Submit the job"))
    expect(page.get_by_text("The job is submitted.")).to_be_visible()
    assert_completed(acme)
    assert clicks.count <= 3


def test_all_failed_jobs_of_a_kind_are_retried_in_four_clicks(console: Console, acme: Tenant) -> None:
    jobs = fail(acme, "page 7 is torn", "page 7 is torn", "the scanner is offline")
    wait_for_all(submit(acme, "noop", {}))
    become_owner(console, acme)
    clicks, page = begin(console), console.page
    clicks.open("Jobs")
    page.locator("#job-filter").fill("kind:fail state:discarded")
    clicks.press("Enter")
    page.wait_for_url("**/job/?q=*")
    clicks.click(page.get_by_role("link", name="Requeue dead letters…"))
    start_requeue(clicks, 3)
    assert_retried(acme, jobs)
    assert clicks.count <= 4


def test_all_failed_jobs_of_a_cause_are_retried_in_three_clicks(console: Console, acme: Tenant) -> None:
    jobs = fail(acme, "the archive is sealed", "the archive is sealed")
    clicks, page = begin(console), console.page
    clicks.open("Failures")
    row = page.get_by_role("row").filter(has_text="the archive is sealed")
    clicks.click(row.get_by_role("link", name="Requeue all of"))
    start_requeue(clicks, 2)
    assert_retried(acme, jobs)
    assert clicks.count <= 3


def test_tenant_with_owner_and_first_key_takes_four_clicks(console: Console) -> None:
    clicks, page, slug = begin(console), console.page, f"umbrella-{next(_numbers)}"
    clicks.open("Tenants")
    clicks.click(page.locator("a[href$='/admin/tenants/tenant/add/']").filter(visible=True).first)
    page.locator("[name=slug]").fill(slug)
    page.locator("[name=name]").fill("Umbrella")
    clicks.choose(page.locator("[name=plan]"), "Team")
    page.locator("[name=owner]").fill("owner@umbrella.example")
    clicks.click(page.get_by_role("button", name="Save", exact=True))
    expect(page.locator("#invitation-link")).to_contain_text("/admin/invitation/?token=")
    token = page.locator("#issued-token").inner_text()
    with all_tenants():
        tenant = Tenant.objects.get(slug=slug)
        invitation, key = Invitation.objects.get(tenant=tenant), ApiKey.objects.get(tenant=tenant)
    assert (invitation.invitee, invitation.role) == ("owner@umbrella.example", Role.OWNER)
    assert key.prefix in token
    assert clicks.count <= 4


def test_noisiest_tenant_is_shown_after_one_click(
    console: Console, acme: Tenant, globex: Tenant, initech: Tenant
) -> None:
    wait_for_all([*submit(globex, "noop", {}), *submit(initech, "noop", {})])
    jobs = submit(acme, "sleep", *[{"seconds": 0.5}] * BACKLOG)
    try:
        clicks, page = begin(console), console.page
        clicks.open("Tenants")
        rows = page.locator("#result_list tr.data-row")
        expect(rows.filter(has_text=acme.slug)).to_be_visible()
        slugs = [text.strip() for text in rows.locator(".field-slug").all_inner_texts()]
        waiting = [text.strip() for text in rows.locator(".field-waiting_jobs").all_inner_texts()]
        loads = dict(zip(slugs, (int(text.replace(",", "")) for text in waiting), strict=True))
        assert loads[acme.slug] == max(loads.values()) > 0
        # Tenants of other tests may still be compared, and are then above.
        assert not {globex.slug, initech.slug} & set(slugs[: slugs.index(acme.slug)])
        assert clicks.count <= 1
    finally:
        with all_tenants():
            cancel_jobs(job_ids=[job.pk for job in jobs], reason="the test is over")


def assert_nightly(tenant: Tenant) -> None:
    """Assert that the only schedule of the tenant submits a job each night."""
    with tenant_context(tenant):
        schedule = Schedule.objects.get()
    assert (schedule.name, schedule.kind, schedule.cron, schedule.is_enabled) == ("report", "noop", NIGHTLY, True)
    assert schedule.next_fire_at is not None
    assert (schedule.next_fire_at.hour, schedule.next_fire_at.minute) == (2, 30)


def test_member_creates_a_nightly_job_in_five_clicks(console: Console, acme: Tenant) -> None:
    become_owner(console, acme)
    clicks, page = begin(console), console.page
    clicks.open("Schedules")
    clicks.click(page.locator("a[href$='/schedule/add/']").filter(visible=True).first)
    page.wait_for_url("**/schedule/add/")
    page.locator("[name=name]").fill("report")
    clicks.choose(page.locator("select[name=kind]"), "noop")
    clicks.click(page.get_by_role("button", name="Nightly", exact=True))
    expect(page.locator("[name=cron]")).to_have_value(NIGHTLY)
    clicks.click(page.get_by_role("button", name="Save", exact=True))
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert_nightly(acme)
    assert clicks.count <= 5


def test_staff_create_a_nightly_job_of_a_tenant_in_five_clicks(console: Console, acme: Tenant) -> None:
    clicks, page = begin(console), console.page
    clicks.open("Schedules")
    clicks.click(page.locator("a[href$='/schedule/add/']").filter(visible=True).first)
    page.wait_for_url("**/schedule/add/")
    clicks.choose(page.locator("select[name=tenant]"), str(acme))
    page.locator("[name=name]").fill("report")
    clicks.choose(page.locator("select[name=kind]"), "noop")
    page.locator("[name=cron]").fill(NIGHTLY)
    clicks.click(page.get_by_role("button", name="Save", exact=True))
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert_nightly(acme)
    assert clicks.count <= 5


def test_list_is_exported_as_csv_in_two_clicks(console: Console, acme: Tenant) -> None:
    jobs = [*submit(acme, "noop", {}, {}), *submit(acme, "sleep", {"seconds": 0})]
    wait_for_all(jobs)
    become_owner(console, acme)
    clicks, page = begin(console), console.page
    clicks.open("Jobs")
    with page.expect_download() as download:
        clicks.click(page.get_by_role("button", name="Export as CSV"))
    assert download.value.suggested_filename == "job.csv"
    with download.value.path().open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["id"] for row in rows} == {str(job.pk) for job in jobs}
    assert sorted(row["Kind"] for row in rows) == ["noop", "noop", "sleep"]
    assert clicks.count <= 2
