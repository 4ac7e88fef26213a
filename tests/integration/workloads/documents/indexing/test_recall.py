"""Recall: the corpus's questions are answered among the first five chunks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tenants.context import tenant_context
from tenants.models import Tenant
from tests.integration.workloads.documents.conftest import add_document
from workloads.documents.cleaning import clean_blocks
from workloads.documents.extraction.extractor import extract_file
from workloads.documents.extraction.sniffing import sniff
from workloads.documents.models import Dataset
from workloads.documents.search import SearchMode, search_dataset
from workloads.documents.service import create_dataset

CORPUS = Path(__file__).parents[5] / "examples" / "corpus"
DAMAGED = "interrupted-upload.pdf"
WANTED_RECALL = 0.9


@pytest.fixture
def library(acme: Tenant) -> Dataset:
    """Index all valid documents of the corpus in one dataset, with the default settings."""
    library = create_dataset(tenant=acme, name="examples")
    for path in sorted((CORPUS / "documents").iterdir()):
        if path.name != DAMAGED:
            with path.open("rb") as file:
                content_type = sniff(path.name, file)
                assert content_type is not None
                blocks = clean_blocks(extract_file(file, content_type).blocks)
            add_document(library, path.name, *(block.text for block in blocks))
    return library


@pytest.mark.slow
def test_answers_are_among_the_first_five_in_both_languages(library: Dataset) -> None:
    questions: list[dict[str, Any]] = json.loads((CORPUS / "questions.json").read_text(encoding="utf-8"))["questions"]
    found: dict[str, list[bool]] = {}
    with tenant_context(library.tenant_id):
        for question in questions:
            hits = search_dataset(dataset=library, query=question["question"], top_k=5, mode=SearchMode.HYBRID)
            names = {hit.chunk.document.name for hit in hits}
            found.setdefault(question["language"], []).append(question["document"] in names)
    assert found.keys() == {"en", "zh"}
    recall = {language: sum(answers) / len(answers) for language, answers in found.items()}
    assert all(share >= WANTED_RECALL for share in recall.values()), recall
