"""Every page of the console in both themes, wide and narrow: what holds of one page holds of all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tenants.context import all_tenants
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.browser.pages import NOTHING_BEHIND, is_page, paths, without_rows

pytestmark = [pytest.mark.browser]
WIDE, NARROW, HEIGHT = 1440, 390, 900
API_DOCUMENT = "/api/v1/docs/"
# Charts take the new width a frame after the window has it.
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def test_every_page_is_whole_in_both_themes_wide_and_narrow(console: Console) -> None:
    """One log-in and one load a page; sizes and themes are changed on the open page, as a person does."""
    console.log_in()
    with all_tenants():
        found = paths()
    faults: dict[str, list[str]] = {}
    walked = []
    for path in found:
        if not is_page(console, path):
            continue
        walked.append(path)
        console.page.set_viewport_size({"width": WIDE, "height": HEIGHT})
        console.open(path)
        if path == API_DOCUMENT:
            # Drawn by a script, from the document that it asks for; one operation is looked at as a whole.
            console.page.locator(".opblock-summary-control").first.click()
            console.page.locator(".opblock-body .microlight").first.wait_for()
        wrong = [*faults_of_frame(console.page, path), *faults_of_looks(console.page), *console.faults]
        console.faults.clear()
        if wrong:
            faults[path] = wrong
    assert faults == {}
    # Three pages for most of some fifty models, and those of their own.
    assert len(walked) > 100, walked


def test_pages_without_a_row_to_show_are_named(console_url: str, db: None) -> None:
    """A model whose row nobody makes is not walked: that is said here and not passed over."""
    with all_tenants():
        assert without_rows() <= NOTHING_BEHIND


def faults_of_frame(page: Page, path: str) -> Iterator[str]:
    """What each page has: a title of its own, one <main>, and a link to it as the first thing on the keyboard's way."""
    if not page.title().strip(" |"):
        yield "no title"
    if page.locator("main").count() != 1:
        yield f"{page.locator('main').count()} <main>"
    if path.startswith("/admin/") and page.locator("a.console-skip[href='#main']").count() != 1:
        yield "no skip link"
    if page.evaluate("document.documentElement.lang") == "":
        yield "no language"


def faults_of_looks(page: Page) -> Iterator[str]:
    """Light and dark, wide and narrow. A theme changes colours alone, so that the dark one is asked about these."""
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate(DRAWN)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if beyond > 1:
            yield f"{width} px: {beyond} px wider than its window"
        for scheme in ("light", "dark"):
            # What the menu's choice and the system's lead to, without loading the page anew.
            page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
            rules = ("color-contrast",) if scheme == "dark" else ()
            for violation in find_violations(page, rules=rules):
                yield f"{scheme}, {width} px: {violation}"
