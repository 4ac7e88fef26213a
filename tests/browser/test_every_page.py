"""Every page of the console in both themes, wide and narrow: requirements of all pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tenants.context import all_tenants
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.browser.controls import find_hidden_controls
from tests.browser.focus import find_unreached_controls
from tests.browser.pages import NOTHING_BEHIND, PARTS, is_page, paths_in_part, without_rows

pytestmark = [pytest.mark.browser]
WIDE, NARROW, HEIGHT = 1440, 390, 900
API_DOCUMENT = "/api/v1/docs/"
# Charts are redrawn one frame after the window is resized.
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize("part", range(PARTS))
def test_every_page_has_no_fault_in_any_theme_and_width(console: Console, part: int) -> None:
    """One login a part and one load per page; sizes and themes are changed on the open page."""
    console.log_in()
    with all_tenants():
        found = paths_in_part(part)
    faults: dict[str, list[str]] = {}
    walked = []
    for path in found:
        if not is_page(console, path):
            continue
        walked.append(path)
        console.page.set_viewport_size({"width": WIDE, "height": HEIGHT})
        console.open(path)
        if path == API_DOCUMENT:
            # Rendered by a script from its document; one operation is checked as a whole.
            console.page.locator(".opblock-summary-control").first.click()
            console.page.locator(".opblock-body .microlight").first.wait_for()
        wrong = [*faults_of_frame(console.page, path), *faults_of_themes(console.page)]
        if path != API_DOCUMENT:
            # Narrow and dark; the same pages in Chinese are walked wide and light.
            wrong += find_unreached_controls(console.page)
        wrong += console.faults
        console.faults.clear()
        if wrong:
            faults[path] = wrong
    assert faults == {}, "\n".join(f"{path}: {fault}" for path, wrong in faults.items() for fault in wrong)
    # Three pages for most of some fifty models, and the special pages.
    assert len(walked) > 80 // PARTS, walked


def test_pages_without_rows_are_listed(console_url: str, db: None) -> None:
    """A model without rows is not walked, and must be in this list."""
    with all_tenants():
        assert without_rows() <= NOTHING_BEHIND


def faults_of_frame(page: Page, path: str) -> Iterator[str]:
    """Yield the faults of the frame: each page has a title, one <main>, and a skip link first in the tab order."""
    if not page.title().strip(" |"):
        yield "no title"
    if page.locator("main").count() != 1:
        yield f"{page.locator('main').count()} <main>"
    if path.startswith("/admin/") and page.locator("a.console-skip[href='#main']").count() != 1:
        yield "no skip link"
    if page.evaluate("document.documentElement.lang") == "":
        yield "no language"


def faults_of_themes(page: Page) -> Iterator[str]:
    """Yield the faults of both themes and widths. A theme changes only colours: dark is checked for contrast alone."""
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate(DRAWN)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if beyond > 1:
            yield f"{width} px: {beyond} px wider than its window"
        for scheme in ("light", "dark"):
            # Themes by the menu and by the system, without a reload.
            page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark")
            rules = ("color-contrast",) if scheme == "dark" else ()
            for violation in [*find_violations(page, rules=rules), *find_hidden_controls(page)]:
                yield f"{scheme}, {width} px: {violation}"
