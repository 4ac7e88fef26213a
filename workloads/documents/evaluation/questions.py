"""Questions with their answers, as a CSV file with the columns `question`, `document` and, if wanted, `passage`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from tenants.translation import translate
from workloads.documents.evaluation.exceptions import QuestionsInvalidError
from workloads.documents.search import MAX_QUERY_LENGTH
from workloads.documents.terms import fold
from workloads.files.incoming import MAX_NAME_LENGTH

MAX_FILE_BYTES = 1024 * 1024
MAX_QUESTIONS = 2_000
MAX_PASSAGE_LENGTH = 500
# The most faulty lines that are listed.
_MAX_FAULTS = 20
_COLUMNS, _OPTIONAL = ("question", "document"), ("passage",)
_LENGTHS = {"question": MAX_QUERY_LENGTH, "document": MAX_NAME_LENGTH, "passage": MAX_PASSAGE_LENGTH}


@dataclass(frozen=True, slots=True)
class Answer:
    """A document by its name or id, and a text that the found chunk must contain; the text may be empty."""

    document: str
    passage: str = ""

    def is_given_by(self, *, name: str, document_id: str, text: str) -> bool:
        """Return whether a chunk of this document with this text is the answer."""
        if self.document not in (name, document_id):
            return False
        return not self.passage or _flatten(self.passage) in _flatten(text)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answers: any of them is right. ``line`` is the last line of the file with the question."""

    text: str
    answers: tuple[Answer, ...]
    line: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the question as it is stored with its evaluation."""
        return {"question": self.text, "answers": [[one.document, one.passage] for one in self.answers]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Return a stored question."""
        return cls(stored["question"], tuple(Answer(*answer) for answer in stored["answers"]))


def read_questions(data: bytes) -> list[Question]:
    """Return the questions of a CSV file. Lines with the same question are one question with several answers.

    Raise `QuestionsInvalidError`, with the number of each faulty line, if the file is too large, not UTF-8, without
    questions, or has a faulty line.
    """
    if len(data) > MAX_FILE_BYTES:
        raise _refusal(1, translate("The file is larger than 1 MiB."))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(data.count(b"\n", 0, error.start) + 1, translate("The file must be UTF-8.")) from error
    faults: list[dict[str, Any]] = []
    questions: dict[str, Question] = {}
    for line, row in _read_rows(text):
        if fault := next(_faults_of(row), None):
            faults.append(describe_fault(line, fault))
            continue
        known = questions.get(row["question"])
        answers = (*(known.answers if known else ()), Answer(row["document"], row["passage"]))
        questions[row["question"]] = Question(row["question"], answers, line)
        if len(questions) > MAX_QUESTIONS:
            faults.append(describe_fault(line, translate("The file has more than 2,000 questions.")))
            break
    if not questions and not faults:
        faults.append(describe_fault(1, translate("The file has no questions.")))
    refuse(faults)
    return list(questions.values())


def refuse(faults: Iterable[dict[str, Any]]) -> None:
    """Raise `QuestionsInvalidError` with up to 20 of the faults, if there are any."""
    if listed := list(faults)[:_MAX_FAULTS]:
        raise QuestionsInvalidError(listed[0]["detail"], errors=listed)


def describe_fault(line: int, detail: str) -> dict[str, Any]:
    """Return the fault of a line as an error of the response."""
    shown = translate("Line %(line)s: %(detail)s", {"line": line, "detail": detail})
    return {"field": "file", "code": "line_invalid", "line": line, "detail": shown}


def _read_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the number of its last line; raise `QuestionsInvalidError` where the file is no such CSV.

    An error names the first line of the row.
    """
    last = 0
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restkey="", restval=None)
    try:
        names, last = list(reader.fieldnames or ()), 1
        if sorted(names) not in (sorted(_COLUMNS), sorted(_COLUMNS + _OPTIONAL)):
            raise _refusal(1, translate("The first line must be question,document or question,document,passage."))
        for row in reader:
            if "" in row or None in row.values():
                raise _refusal(last + 1, translate("The line must have as many values as the first line."))
            last = reader.line_num
            yield last, {name: row.get(name, "").strip() for name in _LENGTHS}
    except csv.Error as error:
        raise _refusal(last + 1, translate("It is not CSV: %(error)s.", {"error": error})) from error


def _faults_of(row: Mapping[str, str]) -> Iterator[str]:
    for name, most in _LENGTHS.items():
        if not row[name] and name in _COLUMNS:
            yield translate("The column %(name)s is empty.", {"name": name})
        if len(row[name]) > most:
            yield translate("The column %(name)s has more than %(most)s characters.", {"name": name, "most": most})
        if "\x00" in row[name]:
            yield translate("The column %(name)s contains the character NUL.", {"name": name})


def _refusal(line: int, detail: str) -> QuestionsInvalidError:
    fault = describe_fault(line, detail)
    return QuestionsInvalidError(fault["detail"], errors=[fault])


def _flatten(text: str) -> str:
    """Return the text so that case and white space do not matter."""
    return " ".join(fold(text).split())
