"""The shipped corpus is as its documentation describes it."""

import csv
from collections import Counter

import pypdfium2
import pytest

from jobsplatform.demo.corpus import CORPUS, DAMAGED, read_corpus, read_title

CORPUS_READ = read_corpus()


def test_corpus_has_enough_documents_in_six_formats():
    formats = Counter(path.suffix for path in CORPUS_READ.documents)
    assert len(CORPUS_READ.documents) >= 44
    assert set(formats) == {".pdf", ".docx", ".html", ".md", ".txt", ".csv"}
    assert min(formats.values()) >= 5


def test_corpus_has_enough_chinese_documents():
    assert sum(path.name.startswith("zh-") for path in CORPUS_READ.documents) >= 14


def test_every_good_document_has_a_question_and_vice_versa():
    assert {question.document for question in CORPUS_READ.questions} == {path.name for path in CORPUS_READ.good}


@pytest.mark.parametrize(("language", "count"), [("en", 30), ("zh", 20)])
def test_corpus_has_enough_questions_in_each_language(language, count):
    texts = {question.text for question in CORPUS_READ.questions if question.language == language}
    assert len(texts) >= count


def test_questions_are_not_sentences_of_their_document():
    for question in CORPUS_READ.questions:
        path = CORPUS / "documents" / question.document
        if path.suffix in {".md", ".txt", ".csv", ".html"}:
            assert question.text not in path.read_text(encoding="utf-8"), question


@pytest.mark.parametrize(
    "path", [path for path in CORPUS_READ.good if path.suffix == ".pdf"], ids=lambda path: path.name
)
def test_pdf_has_a_text_layer_that_contains_its_title(path):
    with pypdfium2.PdfDocument(path) as document:
        text = "".join(page.get_textpage().get_text_range() for page in document)
    squeezed = "".join(text.split())
    assert "".join(read_title(path).split()) in squeezed


def test_exactly_one_pdf_is_damaged():
    broken = [
        path.name for path in CORPUS_READ.documents if path.suffix == ".pdf" and b"%%EOF" not in path.read_bytes()[-32:]
    ]
    assert broken == [DAMAGED]


@pytest.mark.parametrize(
    "path", [path for path in CORPUS_READ.good if path.suffix == ".csv"], ids=lambda path: path.name
)
def test_every_row_of_a_table_has_the_columns_of_its_heading(path):
    with path.open(encoding="utf-8", newline="") as lines:
        widths = {len(row) for row in csv.reader(lines)}
    assert len(widths) == 1


def test_titles_are_unique():
    titles = [read_title(path) for path in CORPUS_READ.good]
    assert len(set(titles)) == len(titles)
    assert all(len(title) >= 6 for title in titles)
