"""Links between the project's pages lead to files and headings that exist."""

import posixpath
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def prose_of(page):
    """Return the page's text without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def links_of(page):
    """Return the page's relative links as pairs of file and anchor; either may be empty."""
    return [(target, anchor) for target, anchor in LINK.findall(prose_of(page)) if not re.match(r"[a-z]+:", target)]


def anchors_of(page):
    """Return the anchors that GitHub and the documentation site give to the page's headings."""
    anchors, seen = set(), Counter()
    for heading in re.findall(r"^#{1,6} +(.+?)\s*$", prose_of(page), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_of_page_lead_to_files(page):
    assert [target for target, _ in links_of(page) if target and not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_anchors_in_links_of_page_name_headings(page):
    missing = []
    for target, anchor in links_of(page):
        linked = Path(posixpath.normpath(page.parent / target)) if target else page
        if anchor and linked.suffix == ".md" and anchor not in anchors_of(linked):
            missing.append(f"{target}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: str(page.relative_to(ROOT)))
def test_lists_and_tables_of_page_follow_a_blank_line(page):
    """GitHub renders them without the blank line; the documentation site does not."""
    lines = prose_of(page).splitlines()
    starts = re.compile(r"([-*] |\d+\. |\|)")
    joined = [
        line
        for before, line in pairwise(lines)
        if starts.match(line) and before.strip() and not re.match(r"\s*([-*] |\d+\. |\|)|\s{2,}", before)
    ]
    assert joined == []
