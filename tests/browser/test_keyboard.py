"""Keyboard access: each control is reachable with visible focus, and the shortcuts work as listed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tenants.models import Tenant
from tests.acceptance.helpers import submit, wait_for
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.browser.focus import CONTROLS

pytestmark = [pytest.mark.browser]
# Walked with the navigation; the own part of every page is walked with its other requirements.
WALKED = ("/admin/", "/admin/scheduling/job/")
PLACES = {
    "o": "/admin/",
    "j": "/admin/scheduling/job/",
    "d": "/admin/failures/",
    "q": "/admin/scheduling/queue/",
    "w": "/admin/scheduling/worker/",
    "s": "/admin/scheduling/schedule/",
    "t": "/admin/tenants/tenant/",
    "p": "/admin/scheduling/cfsplan/",
}
# Maximum number of steps of a walk.
STEPS = 250
FOCUSED = """() => {
    const at = document.activeElement;
    if (at === document.body) return null;
    const style = getComputedStyle(at);
    const hasOutline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
    const isMarked = hasOutline || style.boxShadow !== 'none';
    return {main: !!at.closest('main'), marked: isMarked, what: at.outerHTML.slice(0, 160)};
}"""
UNREACHED = """(controls) => [...document.querySelectorAll('main ' + controls.split(', ').join(', main '))]
    .filter(one => !one.disabled && one.checkVisibility({visibilityProperty: true}) && !one.dataset.reached)
    .filter(one => one.tabIndex >= 0 && !(one.type === 'radio' && !one.checked))
    .map(one => one.outerHTML.slice(0, 160))"""


@pytest.fixture
def work(acme: Tenant) -> Iterator[Tenant]:
    """Create two ended jobs, so that lists have rows."""
    for job in submit(acme, "noop", {}, {}):
        wait_for(job, "completed")
    return acme


@pytest.mark.parametrize("path", WALKED)
def test_tab_key_reaches_every_control_with_visible_focus(console: Console, work: Tenant, path: str) -> None:
    console.log_in()
    page = console.page
    console.open(path)
    page.keyboard.press("p")  # a refreshed part would move the focus
    unmarked = []
    for _ in range(STEPS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            break
        page.evaluate("document.activeElement.dataset.reached = 'yes'")
        if not focused["marked"]:
            unmarked.append(focused["what"])
    assert unmarked == []
    assert page.evaluate(UNREACHED, CONTROLS) == []


def test_shortcut_g_and_letter_opens_a_page(console: Console) -> None:
    console.log_in()
    for letter, path in PLACES.items():
        console.page.keyboard.press("g")
        console.page.keyboard.press(letter)
        console.page.wait_for_url(f"**{path}")
        console.page.wait_for_load_state("load")


def test_list_rows_are_selected_and_opened_by_keyboard(console: Console, work: Tenant) -> None:
    console.log_in()
    page = console.page
    console.open("/admin/scheduling/job/")
    rows = page.locator("#result_list tr").filter(has=page.locator("input.action-select"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = rows.nth(1)
    expect(second.locator("a").first).to_be_focused()
    page.keyboard.press("x")
    expect(second.locator("input.action-select")).to_be_checked()
    page.keyboard.press("k")
    first = rows.nth(0).locator("a").first
    expect(first).to_be_focused()
    target = first.get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{str(target).split('?')[0]}**")


def test_shortcuts_open_help_actions_and_search_and_pause_updates(console: Console, work: Tenant) -> None:
    console.log_in()
    page = console.page
    page.keyboard.press("Shift+?")
    dialog = page.get_by_role("dialog", name="Available shortcuts")
    expect(dialog).to_be_visible()
    assert find_violations(page, within="[aria-labelledby=shortcuts-title]") == []
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("p")
    expect(page.get_by_text("Live updates are paused")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_text("Live updates are paused")).to_be_hidden()
    page.keyboard.press("/")
    expect(page.locator("#search-input-command")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    expect(page.locator("#search-input-command")).to_be_focused()
    console.open("/admin/scheduling/queue/")
    page.locator("#result_list").get_by_role("link", name="dataset", exact=True).click()
    page.wait_for_url("**/change/")
    expect(page.locator(".console-actions button").first).to_be_visible()
    page.wait_for_load_state("domcontentloaded")
    page.keyboard.press(".")
    expect(page.locator(".console-actions button").first).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Pause: dataset")
    expect(dialog.get_by_label("Reason, for the audit log")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(".console-actions button").first).to_be_focused()


def test_dialog_closed_while_it_opens_raises_no_error(console: Console, work: Tenant) -> None:
    console.log_in()
    for _ in range(5):
        console.page.keyboard.press("Shift+?")
        console.page.keyboard.press("Escape")
    dialog = console.page.get_by_role("dialog", name="Available shortcuts")
    expect(dialog).to_be_hidden()


def test_shortcut_inside_a_field_types_its_letter(console: Console, work: Tenant) -> None:
    console.log_in()
    page: Page = console.page
    console.open("/admin/scheduling/job/")
    box = page.locator("#job-filter")
    box.focus()
    page.keyboard.type("gjkxp?")
    expect(box).to_have_value("gjkxp?")
    expect(page.get_by_text("Live updates are paused")).to_be_hidden()
    assert page.url.endswith("/admin/scheduling/job/")


def test_palette_leads_to_a_tenant_and_to_an_act(console: Console, work: Tenant) -> None:
    console.log_in()
    page = console.page
    for text, found, address in (
        (work.slug, f"Tenant {work}", "**/admin/tenants/tenant/*/change/"),
        (f"pause tenant {work.slug}", f"Pause tenant {work}", "**/admin/tenants/tenant/*/change/#act-pause"),
    ):
        page.keyboard.press("Control+k")
        expect(page.locator("#search-input-command")).to_be_focused()
        page.keyboard.type(text)
        expect(page.locator("#command-results-list a").filter(has_text=found)).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url(address)
    expect(page.locator("#act-pause input[name=reason]")).to_be_visible()
