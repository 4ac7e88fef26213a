"""axe-core over a page: the rules of WCAG 2.2 A and AA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def find_violations(
    page: Page, *, within: str = "#main", rules: Sequence[str] = (), without: Sequence[str] = ()
) -> list[str]:
    """Return the violations in the page's own part: rule, message and place. All rules by default."""
    if not page.evaluate("typeof window.axe === 'object'"):
        page.evaluate(AXE_SCRIPT)
    only = {"type": "rule", "values": [*rules]} if rules else {"type": "tag", "values": TAGS}
    found: dict[str, Any] = page.evaluate(
        "([within, runOnly, rules]) => axe.run(within, {runOnly, rules, resultTypes: ['violations']})",
        [within, only, {name: {"enabled": False} for name in without}],
    )
    return [
        f"{rule['id']}: {rule['help']}: {' | '.join(str(node['target']) for node in rule['nodes'][:4])}"
        for rule in found["violations"]
    ]
