"""The console in Chinese: no page contains an English sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import override_settings
from selectolax.lexbor import LexborHTMLParser

from tenants.console.polled_parts import STOP_POLLING
from tests.console_pages import paths_of
from tests.integration.access.world import World, make_world

pytestmark = pytest.mark.django_db
CHINESE = {"Accept-Language": "zh-CN"}
# Texts that are not prose: code to copy, user input, names of icons.
UNREAD = "script, style, template, code, pre, textarea, kbd, .material-symbols-outlined"
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")
WORD = re.compile(r"[A-Za-z]{2,}(?:['’-][A-Za-z]+)*")
# Text to be typed as it stands: JSON in braces, a shell command in quotation marks.
TYPED = re.compile(r"JSON Schema|\{[^{}]*(?:\{[^{}]*\{?[^{}]*\}+)?[^{}]*\}+|`+[^`]*`+|“[^”]*”")
# The same in every language: products and formats, units, and identifiers of the API, filters and settings.
SAME_EVERYWHERE = """
english openai markdown python logging rabbitmq redis webhook cron jain mib beat slug llm http https celery streams
en zh-hans localtime
noop sleep fail crash spin allocate
dataset pipeline workflow tasks maintenance default io small medium large text key system worker
all allow both first second skip none latest standard queue one cancel previous
debug info warning error hybrid vector true false null enabled noeviction
datasource extract clean split embed load priority tags deadline
"""
# Rows of this world and of its migrations: stored texts are shown as written.
ROWS = """
acme globex greta saas gustav newcomer outsider viewer developer owner auditor operator admin
greeting handbook nightly ops pages spare upload broke parseerror start send it test
cloud community professional sandbox team api guest
"""
NAMES = frozenset((SAME_EVERYWHERE + ROWS).split())
STORED = re.compile(
    "One slot for the platform's own upkeep|Serves the queues of all job kinds|initial version"
    "|Runs asynchronous kinds, whose slots wait"
    r"|document into handbook|[Uu]pkeep: \w+|account \w+, address|name one_scope, prefix \w+, scopes"
)
# Untranslated texts of beat's own pages.
BEATS = frozenset({"Task Name", "Crontab translation", "Human readable", "Every minute UTC"})


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    with override_settings(MEDIA_ROOT=tmp_path):
        made = make_world()
        with connection.cursor() as cursor:
            # A test's transaction outlives the settings that some services set for theirs.
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield made


def test_chinese_console_pages_contain_no_english(world: World) -> None:
    found: dict[str, list[str]] = {}
    walked = 0
    for path in paths_of(world):
        answer = world.console["admin"].get(path, headers=CHINESE)
        if answer.status_code not in {200, STOP_POLLING} or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        walked += 1
        for text in texts_of(answer.content.decode()):
            if words := english_words(text):
                found.setdefault(f"{' '.join(words)} — {text[:100]!r}", []).append(path)
    assert walked > 100
    assert found == {}, "\n".join(f"{text}: {paths[0]} ({len(paths)})" for text, paths in sorted(found.items()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("任务 noop 在队列 default 中，运行 “manage.py diagnose”", []),
        ("Nothing has failed", ["Nothing", "has", "failed"]),
        ("job.dispatched，UTC，acme", []),
    ],
)
def test_english_words_are_distinguished_from_names(text: str, words: list[str]) -> None:
    assert english_words(text) == words


def texts_of(page: str) -> Iterator[str]:
    """Yield each text that a page shows or announces, without code."""
    tree = LexborHTMLParser(page)
    for node in tree.css(UNREAD):
        node.decompose()
    # A choice whose label equals its value: an identifier.
    for option in tree.css("option"):
        if option.text(strip=True).replace(" ", "_") == option.attributes.get("value"):
            option.decompose()
    yield from filter(None, (text.strip() for text in (tree.body or tree.root).text(separator="\n").split("\n")))
    for name in ATTRIBUTES:
        yield from (str(node.attributes[name]) for node in tree.css(f"[{name}]") if node.attributes[name])


def english_words(text: str) -> list[str]:
    """Return the words of a text that are no names: an identifier has a sign or a digit, and names are listed above."""
    if text in BEATS:
        return []
    words = []
    for token in re.split(r"[^\x21-\x7e]+|[,;()]", STORED.sub(" ", TYPED.sub(" ", text))):
        word = token.strip(".,:;!?'\"“”()[]{}<>*#…")
        is_word = WORD.fullmatch(word) is not None and not word.isupper()
        if is_word and word.lower() not in NAMES:
            words.append(word)
    return words
