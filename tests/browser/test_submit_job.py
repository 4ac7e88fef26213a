"""The form that submits a job, by keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console

pytestmark = [pytest.mark.browser]
STEPS = 250


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(STEPS):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {selector}.")


def test_job_is_submitted_by_keyboard_alone(console: Console, acme: Tenant) -> None:
    console.log_in()
    page = console.page
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/admin/scheduling/job/")
    page.wait_for_load_state("load")
    tab_to(page, "main a[href$='/job/submit/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/job/submit/")
    page.wait_for_load_state("load")
    tab_to(page, "select[name=tenant]")
    page.keyboard.type(str(acme))
    tab_to(page, "select[name=kind]")
    page.keyboard.type("http_call")
    url = page.locator("[name='payload/url']")
    expect(url).to_be_visible()
    tab_to(page, "[name='payload/url']")
    page.keyboard.type("https://example.org/hook")
    tab_to(page, "[value='add:/headers']")
    page.keyboard.press("Enter")
    expect(page.locator("[name='payload/headers/0#key']")).to_be_focused()
    page.keyboard.type("X-One")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    tab_to(page, "[value='add:/expected_status']")
    page.keyboard.press("Enter")
    expect(page.locator("[name='payload/expected_status/0']")).to_be_focused()
    page.keyboard.type("204")
    expect(url).to_have_value("https://example.org/hook")
    expect(page.locator("#submit-preview")).to_contain_text("Goes to")
    expect(page.locator("#submit-preview")).to_contain_text("As curl")
    assert find_violations(page) == []
    tab_to(page, "main button[type=submit][data-tone=busy]")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The job is submitted.")).to_be_visible()
    with tenant_context(acme):
        job = Job.objects.filter(kind="http_call").latest("id")
        assert job.payload == {
            "url": "https://example.org/hook",
            "headers": {"X-One": "1"},
            "expected_status": [204],
        }
