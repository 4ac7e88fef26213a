"""What a person does from an alert to its remedy: alert, cause, job, trace, logs, a new rule, silence, outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Locator, Page, expect

from scheduling.models import Alert, AlertCause, AlertRule, AlertSilence, SavedView
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.models import Role, Tenant
from tests.acceptance.processes import eventually
from tests.browser.conftest import Console
from tests.browser.incidents import Incident, failing_jobs
from tests.browser.test_every_page import faults_of_frame, faults_of_themes
from tests.browser.test_every_page_in_chinese import faults_of_layout, faults_of_texts
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser]

WIDE = {"width": 1440, "height": 900}
# Names in code, and the log's own words.
IN_EVERY_LANGUAGE = re.compile(r"PermanentError|fingerprint|meta\.template")


@pytest.fixture
def incident(console_url: str, acme: Tenant, globex: Tenant) -> Iterator[Incident]:
    """Return an incident that the running platform has found."""
    with failing_jobs(acme, globex) as found:
        yield found


class Walk:
    """The pages on the way, each checked in both themes and widths."""

    def __init__(self, console: Console) -> None:
        self.console, self.page = console, console.page
        console.log_in()

    def check(self) -> None:
        page = self.page
        page.wait_for_load_state("networkidle")
        scheme = page.evaluate("document.documentElement.classList.contains('dark')")
        faults = [*faults_of_frame(page, "/admin/"), *faults_of_themes(page), *self.console.faults]
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme)
        page.set_viewport_size(WIDE)
        assert faults == [], page.url

    def follow(self, name: str, *, within: str = "main") -> Page:
        """Follow the first link of this name, and check the page behind it."""
        self.page.locator(within).get_by_role("link", name=name).first.click()
        self.check()
        return self.page


def _row_of(page: Page, label: str) -> Locator:
    """Return the row of a page's field."""
    name = page.locator("label", has_text=re.compile(rf"^\s*{label}:?\s*$"))
    return page.locator(".field-line").filter(has=name)


def test_operator_gets_from_an_alert_to_its_remedy(console: Console, incident: Incident) -> None:
    walk = Walk(console)
    _open_alert(walk, incident)
    page = walk.page
    expect(page.locator("main")).to_contain_text("5 (alert at least 3)")
    affected = _row_of(page, "Tenants affected")
    expect(affected).to_contain_text("acme-")
    expect(affected).to_contain_text("globex-")
    expect(_row_of(page, "Notices")).to_contain_text("fired →")
    console.act("Acknowledge", "我去查看档案库")
    expect(page.get_by_text("The alert is acknowledged.")).to_be_visible()
    expect(page.locator("main")).to_contain_text(f"{console.user.username}: 我去查看档案库")
    _find_cause(walk, incident)
    _search_logs(walk, incident)
    _alert_on_lines(walk, incident)
    _silence(walk, incident)
    _record_outcome(walk, incident)


def _open_alert(walk: Walk, incident: Incident) -> None:
    walk.console.open("/admin/scheduling/alert/")
    # The tenant's own alert about the cause is listed too.
    rows = walk.page.locator("#result_list tr").filter(has_text=incident.message)
    row = rows.filter(has_text="New cause of failures")
    expect(row).to_have_count(1)
    walk.check()
    row.get_by_role("link").first.click()
    walk.page.wait_for_url(f"**/alert/{incident.alert.pk}/change/")
    walk.check()


def _find_cause(walk: Walk, incident: Incident) -> None:
    page = walk.page
    page.locator(".console-actions").get_by_role("button", name="Investigate").click()
    page.wait_for_url("**/investigation/*/change/")
    walk.check()
    suspects = _row_of(page, "Most likely first")
    expect(suspects.get_by_role("listitem").first).to_be_visible()
    # A change of the tenant just before, with its reason and a link to its entry.
    changed = suspects.get_by_role("listitem").filter(has_text="tenant.resumed").first
    expect(changed).to_contain_text("档案库迁移")
    expect(changed.locator("a[href*='/auditlogentry/']").first).to_be_visible()
    _row_of(page, "Job").locator("a[href*='/job/']").click()
    # Whichever of its jobs failed first.
    page.wait_for_url(re.compile(r"/job/[0-9a-f-]{36}/change/"))
    expect(page.get_by_text(incident.message).first).to_be_visible()
    walk.follow("Timeline of the trace")
    page.wait_for_url(f"**/correlation/?trace={incident.trace}")
    rows = page.locator(".console-waterfall tbody tr")
    expect(rows.filter(has_text=incident.message).first).to_be_visible()
    assert len({rows.nth(at).locator("a").first.get_attribute("href") for at in range(rows.count())}) == 5


def _search_logs(walk: Walk, incident: Incident) -> None:
    page = walk.page
    walk.follow("Log lines")
    page.wait_for_url("**/logs/?*q=trace*")
    lines = page.locator("#log-lines li")
    expect(lines).to_have_count(10)
    page.get_by_label("Search the log lines of all jobs").fill(f"trace:{incident.trace} {incident.message}")
    page.keyboard.press("Enter")
    expect(lines).to_have_count(5)
    walk.check()
    walk.follow("Lines around this one")
    expect(page.get_by_role("heading", name="Lines of the job around one")).to_be_visible()
    expect(lines).to_have_count(2)
    page.go_back()
    page.get_by_text("Save this filter").click()
    page.locator("#view-name").fill("档案")
    page.get_by_role("button", name="Save", exact=True).click()
    view = page.get_by_role("navigation", name="Saved views").get_by_role("link", name="档案")
    expect(view).to_be_visible()
    view.click()
    expect(page.locator("#log-query")).to_have_value(f"trace:{UUID(incident.trace)} {incident.message}")
    with all_tenants():
        assert SavedView.objects.filter(owner=walk.console.user, name="档案", place="logs").count() == 1


def _alert_on_lines(walk: Walk, incident: Incident) -> None:
    page, name = walk.page, f"封存档案 {incident.trace[:8]}"
    walk.follow("Alert on these lines")
    expect(page.locator("[name=log_query]")).to_have_value(f"trace:{UUID(incident.trace)} {incident.message}")
    preview = page.locator("#alert-preview")
    expect(preview).to_contain_text("Would have fired 1 time since")
    page.locator("[name=threshold]").fill("500")
    page.keyboard.press("Tab")
    expect(preview).to_contain_text("Would have fired 0 times since")
    page.locator("[name=threshold]").fill("2")
    page.keyboard.press("Tab")
    expect(preview).to_contain_text("Would have fired 1 time since")
    page.locator("[name=name]").fill(name)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    walk.check()
    with all_tenants():
        rule = AlertRule.objects.get(name=name)
    assert (rule.measure, rule.per, rule.threshold, rule.tenant) == ("log_matches", "query", 2.0, None)


def _silence(walk: Walk, incident: Incident) -> None:
    page, console = walk.page, walk.console
    console.open(f"/admin/scheduling/alert/{incident.alert.pk}/change/")
    with all_tenants():
        until = Alert.objects.get(pk=incident.alert.pk).evaluated_at + timedelta(hours=2)
    console.act("Silence", "手动开启档案库", until=f"{until:%Y-%m-%dT%H:%M}")
    expect(page.get_by_text(f"The alert is silent until {until:%Y-%m-%d %H:%M} UTC.")).to_be_visible()

    def is_silenced() -> bool:
        with all_tenants():
            return Alert.objects.get(pk=incident.alert.pk).silence_id is not None

    eventually(is_silenced, what="the alert is silenced")
    page.reload()
    expect(_row_of(page, "Notifies")).to_contain_text("silenced: 手动开启档案库")
    console.open("/admin/scheduling/alertsilence/")
    row = page.locator("#result_list tr").filter(has_text="手动开启档案库").first
    expect(row).to_contain_text(re.compile(r"in \d+ "))
    walk.check()


def _record_outcome(walk: Walk, incident: Incident) -> None:
    """Let the cause become older than a new one is, so that the next evaluation finds no value."""
    page, console = walk.page, walk.console
    with all_tenants():
        AlertCause.objects.filter(message__contains=incident.message).update(
            first_at=incident.alert.pending_at - timedelta(minutes=10)
        )

    def is_clear() -> bool:
        with all_tenants():
            alert = Alert.objects.get(pk=incident.alert.pk)
        return bool(alert.clear_held_seconds) or alert.state == "resolved"

    eventually(is_clear, what="the value is clear")
    console.open(f"/admin/scheduling/alert/{incident.alert.pk}/change/")
    console.act("The remedy helped", "已开启档案库")
    expect(page.get_by_text("The outcome is stored.")).to_be_visible()
    expect(_row_of(page, "Note on the outcome")).to_contain_text("已开启档案库")
    _wait_for_end(incident.alert)
    page.reload()
    expect(_row_of(page, "State")).to_contain_text("resolved")
    walk.check()


def _wait_for_end(alert: Alert) -> None:
    def is_resolved() -> bool:
        with all_tenants():
            return Alert.objects.get(pk=alert.pk).state == "resolved"

    eventually(is_resolved, what="the alert is resolved")


def test_member_sees_and_silences_own_alert_only(console: Console, incident: Incident, globex: Tenant) -> None:
    console.user = User.objects.create_user(f"gina-{globex.slug}", password=PASSWORD)
    add_member(tenant=globex, user=console.user, role=Role.OWNER)
    walk = Walk(console)
    page = walk.page
    console.open("/admin/scheduling/alert/")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("自有规则")
    expect(page.locator("main")).not_to_contain_text("acme-")
    rows.get_by_role("link").first.click()
    page.wait_for_url(f"**/alert/{incident.own_alert.pk}/change/")
    expect(page.locator("main")).to_contain_text("2 (alert at least 1)")
    walk.check()
    page.locator(".console-actions").get_by_role("button", name="Investigate").click()
    page.wait_for_url("**/investigation/*/change/")
    expect(page.locator("main")).not_to_contain_text("acme-")
    walk.check()
    console.open(f"/admin/correlation/?trace={incident.trace}")
    expect(page.locator(".console-waterfall tbody tr").first).to_be_visible()
    expect(page.locator("main")).not_to_contain_text(str(incident.first.pk)[-8:])
    console.open(f"/admin/logs/?q=trace:{incident.trace}")
    expect(page.locator("#log-lines li")).to_have_count(4)
    console.open(f"/admin/scheduling/alert/{incident.own_alert.pk}/change/")
    console.act("Silence", "已知")
    expect(page.get_by_text("The alert is silent until")).to_be_visible()
    with all_tenants():
        assert AlertSilence.objects.get(tenant=globex).reason == "已知"
    # The platform's alert about the same cause.
    answer = page.request.get(f"{console.url}/admin/scheduling/alert/{incident.alert.pk}/change/", max_redirects=0)
    assert answer.status in {302, 404}


def test_pages_on_the_way_are_in_chinese(chinese_console: Console, incident: Incident) -> None:
    walk = Walk(chinese_console)
    page = walk.page
    _open_alert(walk, incident)
    faults = [*_faults_in_chinese(page)]
    page.locator(".console-actions").get_by_role("button").first.click()
    page.wait_for_url("**/investigation/*/change/")
    faults += _faults_in_chinese(page)
    logs = f"trace:{incident.trace} {incident.message}"
    for path in (f"correlation/?trace={incident.trace}", f"logs/?q={logs}", "scheduling/alertrule/add/"):
        chinese_console.open(f"/admin/{path}")
        page.wait_for_load_state("networkidle")
        faults += _faults_in_chinese(page)
    assert faults == []


def _faults_in_chinese(page: Page) -> Iterator[str]:
    yield from (f"{page.url}: {fault}" for fault in faults_of_layout(page))
    yield from (f"{page.url}: {fault}" for fault in faults_of_texts(page) if not IN_EVERY_LANGUAGE.search(fault))
