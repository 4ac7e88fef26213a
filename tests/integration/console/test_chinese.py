"""The console in Chinese: no page contains an English sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import override_settings

from tenants.console.polled_parts import STOP_POLLING
from tests.console_pages import paths_of
from tests.console_words import english_words, texts_of
from tests.integration.access.world import World, make_world

pytestmark = pytest.mark.django_db
CHINESE = {"Accept-Language": "zh-CN"}


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
