"""axe-core over a page: the rules of WCAG 2.2 A and AA."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def find_violations(page: Page, *, within: str = "#main") -> list[str]:
    """What axe complains of in the page's own part: rule, what it says, and where."""
    page.evaluate(AXE_SCRIPT)
    found: dict[str, Any] = page.evaluate(
        "([within, tags]) => axe.run(within, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})",
        [within, TAGS],
    )
    return [
        f"{rule['id']}: {rule['help']}: {' | '.join(str(node['target']) for node in rule['nodes'][:4])}"
        for rule in found["violations"]
    ]
