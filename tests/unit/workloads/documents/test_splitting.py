"""Splitting of blocks into passages and sections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.documents.blocks import Block
from workloads.documents.splitting import SplitSettings, estimate_tokens, passages_digest, split_blocks, split_sections

SMALL = SplitSettings(chunk_size=30, overlap=5)
ENGLISH = "The scheduler charges each tenant for the seconds that its workers took. "
CHINESE = "调度器按照工人所用的秒数向每个租户收费。"


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("four", 1), ("scheduler", 2), ("调度", 2), ("调度器收费", 4), ("Redis 队列", 3)],
)
def test_tokens_are_estimated_by_script(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize("text", [ENGLISH * 40, CHINESE * 40, (ENGLISH + CHINESE) * 20, "x" * 2_000])
def test_passages_respect_the_chunk_size(text: str) -> None:
    passages = split_blocks([Block(text)], SMALL)
    assert len(passages) > 5
    assert all(estimate_tokens(passage.text) <= SMALL.chunk_size for passage in passages)
    assert [passage.position for passage in passages] == list(range(len(passages)))


def test_chinese_is_split_at_sentences() -> None:
    passages = split_blocks([Block(CHINESE * 20)], SplitSettings(chunk_size=40, overlap=0))
    assert all(passage.text.endswith("。") for passage in passages)


def test_passage_overlaps_the_previous_one() -> None:
    passages = split_blocks([Block(ENGLISH * 20)], SplitSettings(chunk_size=40, overlap=20))
    first, second = passages[0].text, passages[1].text
    assert any(first.endswith(second[:length]) for length in range(20, len(second)))


def test_passage_has_its_headings_and_its_location() -> None:
    blocks = [
        Block("Guide", {"line": 1}, 1),
        Block("Queues", {"line": 3}, 2),
        Block(ENGLISH * 2, {"line": 5}),
        Block("Workers", {"line": 7}, 2),
        Block(CHINESE * 2, {"line": 9}),
    ]
    passages = split_blocks(blocks, SMALL)
    assert passages[0].location == {"line": 1, "heading": ["Guide"]}
    workers = next(passage for passage in passages if "Workers" in passage.text)
    assert workers.location == {"line": 7, "heading": ["Guide", "Workers"]}
    assert workers.heading == "Guide › Workers"


def test_passage_over_two_pages_has_both_numbers() -> None:
    passages = split_blocks([Block("One.", {"page": 3}), Block("Two.", {"page": 4})], SMALL)
    assert [passage.location for passage in passages] == [{"page": 3, "page_end": 4}]


def test_empty_text_has_no_passages() -> None:
    assert split_blocks([], SMALL) == []


@given(st.lists(st.text(max_size=300), max_size=8))
def test_equal_blocks_become_equal_passages(texts: list[str]) -> None:
    blocks = [Block(text, {"line": number}) for number, text in enumerate(texts, start=1)]
    first, second = split_blocks(blocks, SMALL), split_blocks(blocks, SMALL)
    assert passages_digest(first) == passages_digest(second)


def test_digest_changes_with_text_and_location() -> None:
    digests = {
        passages_digest(split_blocks([block], SMALL))
        for block in (Block("a", {"line": 1}), Block("a", {"line": 2}), Block("b", {"line": 1}))
    }
    assert len(digests) == 3


def section_blocks() -> list[Block]:
    levels = [("Guide", 1), ("Intro.", 0), ("Start", 2), ("Do this.", 0), ("Detail", 3), ("Or that.", 0), ("End", 2)]
    return [Block(text, {"line": line}, level) for line, (text, level) in enumerate(levels, start=1)]


@pytest.mark.parametrize(
    ("level", "texts"),
    [
        (1, ["Guide\nIntro.\n\n\nStart\nDo this.\n\n\nDetail\nOr that.\n\n\nEnd"]),
        (2, ["Guide\nIntro.", "Start\nDo this.\n\n\nDetail\nOr that.", "End"]),
        (3, ["Guide\nIntro.", "Start\nDo this.", "Detail\nOr that.", "End"]),
    ],
)
def test_passages_end_at_headings_of_the_level(level: int, texts: list[str]) -> None:
    passages = split_sections(section_blocks(), SplitSettings(chunk_size=200, overlap=0), level=level)
    assert [passage.text for passage in passages] == texts
    assert [passage.position for passage in passages] == list(range(len(texts)))


def test_section_has_the_headings_above_it() -> None:
    passages = split_sections(section_blocks(), SplitSettings(chunk_size=200, overlap=0), level=3)
    assert [passage.heading for passage in passages] == [
        "Guide",
        "Guide › Start",
        "Guide › Start › Detail",
        "Guide › End",
    ]
    assert [passage.location["line"] for passage in passages] == [1, 3, 5, 7]


def test_heading_directly_below_another_stays_with_it() -> None:
    blocks = [Block("One", {}, 1), Block("Two", {}, 2), Block("Text."), Block("Three", {}, 2), Block("More.")]
    passages = split_sections(blocks, SplitSettings(chunk_size=200, overlap=0), level=2)
    assert [passage.text for passage in passages] == ["One\nTwo\nText.", "Three\nMore."]


def test_long_section_is_split_within_itself() -> None:
    blocks = [Block("One", {}, 1), Block(ENGLISH * 20), Block("Two", {}, 1), Block("Short.")]
    passages = split_sections(blocks, SMALL, level=1)
    assert len(passages) > 3
    assert passages[-1].text == "Two\nShort."
    assert {passage.heading for passage in passages[:-1]} == {"One"}


def test_sections_without_headings_equal_blocks() -> None:
    blocks = [Block(ENGLISH * 3, {"line": line}) for line in range(1, 9)]
    assert split_sections(blocks, SMALL, level=6) == split_blocks(blocks, SMALL)
    assert split_sections([], SMALL, level=1) == []
