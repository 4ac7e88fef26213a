"""Every page of the console in Chinese: layout, names and the texts that scripts write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from socket import gethostname

import pytest
from playwright.sync_api import Page

from scheduling.kit import registry
from tenants.context import all_tenants
from tests.browser.accessibility import find_violations
from tests.browser.conftest import Console
from tests.browser.controls import find_hidden_controls
from tests.browser.focus import find_unreached_controls
from tests.browser.pages import BESIDE_THE_CONSOLE, PARTS, is_page, paths_in_part
from tests.browser.test_every_page import DRAWN, HEIGHT, NARROW, WIDE
from tests.console_words import ATTRIBUTES, UNREAD, english_words

pytestmark = [pytest.mark.browser]
ENGLISH_TIME = re.compile(r"\b[ap]\.m\.|\d (?:AM|PM)\b|\b\d{1,2}/\d{1,2}/\d{4}\b")
TEXTS = """([unread, attributes]) => {
    const texts = new Set([document.title]);
    // A choice whose label equals its value is an identifier.
    const isName = (parent) => parent.tagName === "OPTION" && parent.text.trim().replaceAll(" ", "_") === parent.value;
    const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
        if (!node.parentElement.closest(unread) && !isName(node.parentElement)) texts.add(node.data.trim());
    }
    for (const name of attributes) {
        for (const element of document.querySelectorAll(`[${name}]`)) texts.add(element.getAttribute(name).trim());
    }
    return [...texts];
}"""


@pytest.mark.parametrize("part", range(PARTS))
def test_every_chinese_page_has_no_fault(chinese_console: Console, part: int) -> None:
    """One load per page. Colours do not depend on the language: their contrast is checked in English."""
    console = chinese_console
    console.log_in()
    with all_tenants():
        found = [path for path in paths_in_part(part) if path not in BESIDE_THE_CONSOLE]
    faults: dict[str, list[str]] = {}
    walked = 0
    for path in found:
        if not is_page(console, path):
            continue
        walked += 1
        console.page.set_viewport_size({"width": NARROW, "height": HEIGHT})
        console.open(path)
        wrong = [*faults_of_layout(console.page), *faults_of_texts(console.page)]
        wrong += [*find_unreached_controls(console.page), *console.faults]
        console.faults.clear()
        if wrong:
            faults[path] = wrong
    assert faults == {}, "\n".join(f"{path}: {fault}" for path, wrong in faults.items() for fault in wrong)
    assert walked > 80 // PARTS


def faults_of_layout(page: Page) -> Iterator[str]:
    """Yield the faults that longer or shorter words, or absent ones, can cause."""
    language = page.evaluate("document.documentElement.lang")
    if language != "zh-hans":
        yield f"language {language}"
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        page.evaluate(DRAWN)
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if beyond > 1:
            yield f"{width} px: {beyond} px wider than its window"
        for violation in [*find_violations(page, without=("color-contrast",)), *find_hidden_controls(page)]:
            yield f"{width} px: {violation}"


def faults_of_texts(page: Page) -> Iterator[str]:
    """Yield the English texts, with those that scripts write: times, ages, titles and labels."""
    for text in page.evaluate(TEXTS, [UNREAD, [*ATTRIBUTES]]):
        found = [word for word in english_words(text) if word not in {gethostname(), *names_in_schemas()}]
        if words := [*found, *ENGLISH_TIME.findall(text)]:
            yield f"English: {' '.join(words)} — {text[:100]!r}"


@cache
def names_in_schemas() -> frozenset[str]:
    """Return the names of fields and the values to choose from in the payloads of all kinds: identifiers."""
    return frozenset(name for kind in registry.kinds() for name in _names_in(registry.get(kind).payload_schema))


def _names_in(schema: object) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _names_in(item)
    elif isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from (value for value in schema.get("enum", ()) if isinstance(value, str))
        for inner in schema.values():
            yield from _names_in(inner)
