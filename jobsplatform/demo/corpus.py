"""Example documents of the demonstration, one of them damaged, and questions with the document that answers each."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent.parent / "examples" / "corpus"
DAMAGED = "interrupted-upload.pdf"


@dataclass(frozen=True, slots=True)
class CorpusQuestion:
    """Question in `language` (`en` or `zh`), and the file name of the document that answers it."""

    language: str
    text: str
    document: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """The example documents, and the questions about them."""

    documents: tuple[Path, ...]
    questions: tuple[CorpusQuestion, ...]

    @property
    def good(self) -> tuple[Path, ...]:
        """Return the paths of all documents except the damaged one."""
        return tuple(path for path in self.documents if path.name != DAMAGED)


def read_corpus(folder: Path = CORPUS) -> Corpus:
    """Return the documents and questions in a folder; raise FileNotFoundError if it is missing."""
    documents = tuple(sorted(path for path in (folder / "documents").iterdir() if path.is_file()))
    entries = json.loads((folder / "questions.json").read_text(encoding="utf-8"))["questions"]
    questions = tuple(CorpusQuestion(entry["language"], entry["question"], entry["document"]) for entry in entries)
    return Corpus(documents, questions)


def read_title(document: Path, folder: Path = CORPUS) -> str:
    """Return a document's title as its text shows it: the first heading, or the first row of a table as a sentence.

    Titles of built files (pdf, docx, html) are read from their Markdown source, so that the check of the parsers does
    not depend on them.
    """
    if document.suffix == ".csv":
        with document.open(encoding="utf-8", newline="") as lines:
            next(rows := csv.reader(lines))
            return " ".join(next(rows)[:3])
    built = folder / "sources" / document.suffix[1:] / f"{document.stem}.md"
    text = (built if built.exists() else document).read_text(encoding="utf-8")
    return re.sub(r"^#+\s*", "", text.lstrip().splitlines()[0]).strip()
