"""The strategies of chunking: sections, pages, pairs of question and answer, parents and children."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.documents.blocks import Block, BlockKind, Facts
from workloads.documents.cleaning import clean_blocks
from workloads.documents.extraction.child import reader_of
from workloads.documents.split_settings import Chunking, SizeUnit, SplitSettings
from workloads.documents.splitting import Passage, split_blocks

SENTENCE = "The scheduler charges each tenant for the seconds that its workers took. "
STRATEGIES = list(Chunking)


def split(blocks: Sequence[Block], chunking: Chunking, size: int = 200, **settings: int) -> list[Passage]:
    return split_blocks(blocks, SplitSettings(size, 0, chunking=chunking, **settings))  # type: ignore[arg-type]


def read(content: str, content_type: str) -> list[Block]:
    return clean_blocks(reader_of(content_type)(content.encode(), Facts()))


def texts_of(passages: Sequence[Passage]) -> list[str]:
    return [passage.text for passage in passages]


def parent_texts(passages: Sequence[Passage]) -> list[str]:
    """Return the texts of the parents, joined as searches join them."""
    texts: dict[tuple[int, int], str] = {}
    for passage in passages:
        first, last = passage.location["parent"]
        before = texts[first, last] + passage.location["joint"] if (first, last) in texts else ""
        texts[first, last] = before + passage.text
    return list(texts.values())


# Sections.


def test_each_section_is_a_passage() -> None:
    blocks = read("# Guide\n\nIntro.\n\n## Start\n\nDo.\n\n### Detail\n\nThat.\n\n## End\n\nBye.", "text/markdown")
    passages = split(blocks, Chunking.HEADING)
    assert texts_of(passages) == ["Guide\nIntro.", "Start\nDo.", "Detail\nThat.", "End\nBye."]
    assert passages[2].heading == "Guide › Start › Detail"


def test_section_over_the_limit_is_cut() -> None:
    blocks = [Block("One", {}, 1), Block(SENTENCE * 20), Block("Two", {}, 1), Block("Short.")]
    passages = split(blocks, Chunking.HEADING, 60)
    assert len(passages) > 4
    assert passages[-1].text == "Two\nShort."
    assert max(passage.tokens for passage in passages) <= 60


# Pages.


def test_each_page_is_a_passage_with_the_headings_above_it() -> None:
    blocks = [
        Block("Report", {"page": 1}, 1),
        Block("First.", {"page": 1}),
        Block("Second.", {"page": 2}),
        Block("Still second.", {"page": 2}),
        Block(SENTENCE * 10, {"page": 3}),
    ]
    passages = split(blocks, Chunking.PAGE, 60)
    assert texts_of(passages)[:2] == ["Report\nFirst.", "Second.\n\nStill second."]
    assert {passage.location["page"] for passage in passages[2:]} == {3}
    assert len(passages) > 4
    assert all(passage.heading == "Report" and "page_end" not in passage.location for passage in passages)


def test_document_without_pages_is_split_by_structure() -> None:
    blocks = [Block(SENTENCE * 3, {"line": line}) for line in range(1, 9)]
    assert texts_of(split(blocks, Chunking.PAGE)) == texts_of(split(blocks, Chunking.STRUCTURE))


# Questions with their answers.


@pytest.mark.parametrize(
    ("question", "answer"),
    [("Q:", "A:"), ("q1:", "a1:"), ("Question:", "Answer:"), ("问：", "答："), ("问题 2：", "答案：")],
)
@pytest.mark.parametrize("between", ["\n", "\n\n"], ids=["lines", "paragraphs"])
def test_pairs_of_lines_are_passages(question: str, answer: str, between: str) -> None:
    pairs = [f"{question} Is it {number}?{between}{answer} It is {number}." for number in range(3)]
    passages = split(read(f"Preface.\n\n{between.join(pairs)}", "text/plain"), Chunking.QA)
    words = [" ".join(text.split()) for text in texts_of(passages)]
    assert words == ["Preface.", *(" ".join(pair.split()) for pair in pairs)]
    if between == "\n":
        assert [passage.location["line"] for passage in passages] == [1, 3, 5, 7]


def test_answer_ends_at_the_next_heading() -> None:
    blocks = read("Q: Why?\n\nA: So.\n\nMore of it.\n\n# Other\n\nText.\n\nMore text.", "text/markdown")
    assert texts_of(split(blocks, Chunking.QA)) == ["Q: Why?\n\nA: So.\n\nMore of it.", "Other\nText.\n\nMore text."]


def test_headings_that_ask_are_pairs_with_what_is_below() -> None:
    text = "# FAQ\n\n## How?\n\nSo.\n\n### Detail\n\nAnd so.\n\n## 为什么？\n\n因为。\n\n## Contact\n\nMail."
    text += "\n\n## Terms\n\nNone."
    passages = split(read(text, "text/markdown"), Chunking.QA)
    assert texts_of(passages) == [
        "FAQ\nHow?\nSo.\n\n\nDetail\nAnd so.",
        "为什么？\n因为。",
        "Contact\nMail.\n\n\nTerms\nNone.",
    ]


@pytest.mark.parametrize(
    ("content", "content_type", "texts"),
    [
        (
            "question,answer\nWhy?,So.\nHow?,Thus.\n",
            "text/csv",
            ["question: Why?; answer: So.", "question: How?; answer: Thus."],
        ),
        ("问题,答案\n为什么,因为\n", "text/csv", ["问题: 为什么; 答案: 因为"]),
        (
            "Before.\n\n| Question | Answer |\n|---|---|\n| Why? | So. |\n| How? | Thus. |\n\nAfter.",
            "text/markdown",
            ["Before.", "Question | Answer\nWhy? | So.", "Question | Answer\nHow? | Thus.", "After."],
        ),
        ("plan,weight\nteam,2\nfree,1\n", "text/csv", ["plan: team; weight: 2\nplan: free; weight: 1"]),
    ],
    ids=["csv", "chinese", "table", "other table"],
)
def test_rows_of_pairs_are_passages(content: str, content_type: str, texts: list[str]) -> None:
    assert texts_of(split(read(content, content_type), Chunking.QA)) == texts


# Parents and children.


def test_children_name_the_first_and_last_of_their_parent() -> None:
    blocks = [Block("Guide", {"line": 1}, 1), *(Block(SENTENCE * 4, {"line": line}) for line in range(2, 30))]
    blocks += [Block("\n".join(f"x{n} = {n}" for n in range(90)), {"line": 30}, kind=BlockKind.CODE)]
    children = split(blocks, Chunking.PARENT_CHILD, 40, parent_size=160)
    assert max(child.tokens for child in children) <= 40
    ranges = list(dict.fromkeys(tuple(child.location["parent"]) for child in children))
    assert [position for first, last in ranges for position in range(first, last + 1)] == list(range(len(children)))
    assert len(children) > 2 * len(ranges) > 6
    assert all(child.heading == "Guide" for child in children)


def test_parents_are_the_passages_of_their_size() -> None:
    blocks = [Block(SENTENCE * 5), Block(SENTENCE * 9), Block(SENTENCE * 2)]
    children = split(blocks, Chunking.PARENT_CHILD, 40, parent_size=160)
    assert parent_texts(children) == texts_of(split_blocks(blocks, SplitSettings(160, 0)))


# All of them.

BLOCKS = st.lists(
    st.builds(
        Block,
        text=st.text("ab Q:A?问答。.\n调", min_size=1, max_size=200),
        location=st.fixed_dictionaries({"line": st.integers(1, 9), "page": st.integers(1, 4)}),
        level=st.sampled_from([0, 0, 0, 1, 2]),
        kind=st.sampled_from([BlockKind.PARAGRAPH, BlockKind.CODE, BlockKind.TABLE]),
    ),
    max_size=8,
)


@pytest.mark.parametrize("chunking", STRATEGIES)
@given(blocks=BLOCKS, unit=st.sampled_from(SizeUnit), size=st.integers(20, 60))
def test_every_word_survives_in_order(chunking: Chunking, blocks: list[Block], unit: SizeUnit, size: int) -> None:
    settings = SplitSettings(size, 0, unit, chunking, parent_size=3 * size)
    passages = split_blocks(clean_blocks(blocks), settings)
    assert "".join("".join(texts_of(passages)).split()) == "".join(
        "".join(block.text for block in clean_blocks(blocks)).split()
    )
    assert [passage.position for passage in passages] == list(range(len(passages)))


def test_settings_that_change_passages_change_the_key() -> None:
    plain = SplitSettings()
    others = [
        replace(plain, chunk_size=201),
        replace(plain, overlap=21),
        replace(plain, unit=SizeUnit.CHARACTERS),
        *(replace(plain, chunking=one) for one in Chunking if one is not Chunking.STRUCTURE),
        replace(plain, chunking=Chunking.PARENT_CHILD, parent_size=801),
    ]
    assert plain.key == "200:20"
    assert len({plain.key, *(one.key for one in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (SplitSettings(), []),
        (SplitSettings(1_001), ["chunk_size"]),
        (SplitSettings(4_000, 20, SizeUnit.CHARACTERS), []),
        (SplitSettings(4_001, 20, SizeUnit.CHARACTERS), ["chunk_size"]),
        (SplitSettings(19, 20), ["chunk_size", "chunk_overlap"]),
        (SplitSettings(parent_size=1), []),
        (SplitSettings(chunking=Chunking.PARENT_CHILD, parent_size=199), ["parent_size"]),
        (SplitSettings(chunking=Chunking.PARENT_CHILD, parent_size=4_001), ["parent_size"]),
    ],
)
def test_faults_name_their_settings(settings: SplitSettings, names: list[str]) -> None:
    assert [name for name, _ in settings.find_faults()] == names
