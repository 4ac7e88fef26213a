"""CSV files with questions."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from workloads.documents.evaluation.exceptions import QuestionsInvalidError
from workloads.documents.evaluation.questions import MAX_FILE_BYTES, Answer, read_questions

ROOT = Path(__file__).parents[5]


def lines_refused(data: bytes) -> list[tuple[int, str]]:
    with pytest.raises(QuestionsInvalidError) as refusal:
        read_questions(data)
    assert refusal.value.category == "malformed"
    return [(fault["line"], fault["detail"]) for fault in refusal.value.errors]


def test_lines_with_the_same_question_are_several_answers() -> None:
    lines = ["\ufeffquestion,document,passage", "Why?,a.md,", '多少？,b.md,"ten, or\nso"', "Why?,c.md,x", ""]
    questions = read_questions("\r\n".join(lines).encode())
    assert [(one.text, one.answers, one.line) for one in questions] == [
        ("Why?", (Answer("a.md"), Answer("c.md", "x")), 5),
        ("多少？", (Answer("b.md", "ten, or\nso"),), 4),
    ]


@pytest.mark.parametrize(
    ("data", "line", "detail"),
    [
        (b"", 1, "first line"),
        (b"question,document\n", 1, "no questions"),
        (b"frage,document\nWhy?,a.md\n", 1, "first line"),
        (b"question,document,score\nWhy?,a.md,1\n", 1, "first line"),
        (b"question,document\nWhy?,a.md\nWhy not?\n", 3, "as many values"),
        (b"question,document\nWhy?,a.md,b.md\n", 2, "as many values"),
        (b"question,document\nWhy?,a.md\n,a.md\n", 3, "question is empty"),
        (b"question,document\nWhy?,  \n", 2, "document is empty"),
        (b"question,document\n" + b"x" * 1_001 + b",a.md\n", 2, "more than 1000"),
        (b"question,document\nWhy?,a\x00b\n", 2, "NUL"),
        (b'question,document\n"Why?" not,a.md\n', 2, "not CSV"),
        (b'question,document\n"Why?,a.md\n', 2, "not CSV"),
        (b"question,document\nWhy?,a.md\nWarum?,\xff\n", 3, "UTF-8"),
        (b"x" * (MAX_FILE_BYTES + 1), 1, "1 MiB"),
    ],
)
def test_faulty_line_is_refused_with_its_number(data: bytes, line: int, detail: str) -> None:
    ((found, message),) = lines_refused(data)
    assert found == line
    assert detail in message
    assert message.startswith(f"Line {line}: ")


def test_number_of_questions_and_of_listed_faults_is_limited() -> None:
    many = "question,document\n" + "".join(f"q{number},a.md\n" for number in range(2_001))
    assert lines_refused(many.encode()) == [(2_002, "Line 2002: The file has more than 2,000 questions.")]
    assert len(lines_refused(b"question,document\n" + b",\n" * 100)) == 20


def test_answer_is_a_chunk_of_the_document_that_contains_the_passage() -> None:
    place = {"name": "a.md", "document_id": "7", "text": "A Lease\nof ten   seconds."}
    assert Answer("a.md").is_given_by(**place)
    assert Answer("7", "lease of TEN seconds").is_given_by(**place)
    assert not Answer("a.md", "eleven").is_given_by(**place)
    assert not Answer("b.md").is_given_by(**place)


@pytest.mark.parametrize(("language", "count"), [("en", 30), ("zh", 20)])
def test_shipped_questions_name_documents_that_exist(language: str, count: int) -> None:
    path = ROOT / "examples" / "evaluation" / f"questions-{language}.csv"
    assert len(read_questions(path.read_bytes())) == count
    documents = {file.name for folder in ("docs", "examples/corpus/documents") for file in (ROOT / folder).rglob("*.*")}
    with path.open(encoding="utf-8", newline="") as file:
        assert {row["document"] for row in csv.DictReader(file)} <= documents
