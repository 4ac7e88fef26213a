"""Splitting of blocks into passages and sections."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.documents.blocks import Block, BlockKind
from workloads.documents.split_settings import Chunking, SizeUnit, SplitSettings
from workloads.documents.splitting import Passage, estimate_tokens, passages_digest, split_blocks

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


@pytest.mark.parametrize("text", [ENGLISH * 40, CHINESE * 40, "调" * 900, "x" * 2_000])
def test_size_in_characters_is_respected(text: str) -> None:
    passages = split_blocks([Block(text)], SplitSettings(90, 10, SizeUnit.CHARACTERS))
    assert len(passages) > 5
    assert all(len(passage.text) <= 90 for passage in passages)


def test_code_in_characters_is_cut_between_lines_only() -> None:
    lines = [f"    value_{number}   =  {number}" for number in range(40)]
    passages = split_blocks([Block("\n".join(lines), kind=BlockKind.CODE)], SplitSettings(90, 0, SizeUnit.CHARACTERS))
    assert [line for passage in passages for line in passage.text.split("\n")] == lines
    assert all(len(passage.text) <= 90 for passage in passages)


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


def split_sections(blocks: list[Block], settings: SplitSettings, *, level: int) -> list[Passage]:
    return split_blocks(blocks, replace(settings, chunking=Chunking.HEADING, heading_level=level))


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


SENTENCES = [
    "A worker claims a job only while its lease lasts.",
    "If the heartbeat of the process stops, the lease expires and another process continues at the last checkpoint.",
    "Does that repeat an effect? It does not, since each effect commits together with the checkpoint after it.",
    "Weights decide how the time of all workers is shared; a tenant that was idle gets no credit for that time.",
    "租约到期之后，另一个进程会从最后一个检查点继续执行任务。",
    "每个租户按照权重分享工作进程的时间！（空闲的租户不会因此得到补偿。）",
    "如果心跳停止，会发生什么？调度器会把任务重新放回队列。",
]
SENTENCE_END = re.compile(r"[.!?。！？][)）”]*$")


def wrapped(sentences: list[str], width: int) -> str:
    """Return the sentences as a paragraph whose lines the margin has broken, also within words of Chinese."""
    text, separator = "", ""
    for sentence in sentences:
        text += separator + sentence
        separator = " " if sentence.isascii() else ""
    return "\n".join(textwrap.wrap(text, width))


@pytest.mark.parametrize("width", [40, 72, 100, 10_000])
@pytest.mark.parametrize("size", [60, 100, 200])
def test_few_passages_of_prose_end_inside_a_sentence(width: int, size: int) -> None:
    blocks = [
        Block(wrapped([SENTENCES[(first + number) % len(SENTENCES)] for number in range(9)], width))
        for first in range(40)
    ]
    passages = split_blocks(blocks, SplitSettings(size, size // 10))
    inside = [passage.text for passage in passages if not SENTENCE_END.search(passage.text)]
    assert len(passages) > 40
    assert len(inside) <= 0.05 * len(passages), inside[:3]


def test_lines_with_a_meaning_stay_whole() -> None:
    lines = [f"Name of the station number {number} on the line to the north" for number in range(40)]
    items = [f"- Take part {number}. Then fasten it to the frame" for number in range(40)]
    for text in ("\n".join(lines), "\n".join(items)):
        passages = split_blocks([Block(text)], SplitSettings(60, 0))
        assert "\n".join(passage.text for passage in passages) == text


@pytest.mark.parametrize("sign", ["调", "a", "a ", "\u0301"])
def test_text_without_sentences_is_split_in_windows(sign: str) -> None:
    text = sign * 20_000
    passages = split_blocks([Block(text)], SplitSettings(100, 0))
    assert re.sub(r"\s", "", "".join(passage.text for passage in passages)) == re.sub(r"\s", "", text)
    assert max(passage.tokens for passage in passages) <= 100


def test_pieces_are_the_text_with_its_listings() -> None:
    blocks = [Block("See this."), Block("a = 1\n\nb = 2", kind=BlockKind.CODE), Block("It works.")]
    (passage,) = split_blocks(blocks, SplitSettings())
    assert "".join(text for text, _ in passage.pieces) == passage.text
    assert [(text.strip(), is_verbatim) for text, is_verbatim in passage.pieces] == [
        ("See this.", False),
        ("a = 1\n\nb = 2", True),
        ("It works.", False),
    ]
