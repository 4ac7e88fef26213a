"""recall@5 of the shipped questions through the product's own search, after indexing through its own API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness.parts import Finding, MeasureFailedError
from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.corpus import Corpus, Question, read_corpus
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.provision import create_participants
from jobsplatform.demo.readings import read_counts
from jobsplatform.demo.uploads import Shelf, open_shelf, upload_corpus

TOP_K = 5
TARGET = 0.9
MODES = ("hybrid", "vector", "text")
LANGUAGES = {"en": "English", "zh": "Chinese"}
INDEX_SECONDS = 180.0


def measure_recall(folder: Path) -> list[Finding]:
    """Index the corpus for one tenant and search for every question in every mode."""
    corpus = read_corpus()
    participant = create_participants()[-1]
    with running_platform(folder / "recall.log") as platform:
        shelf = open_shelf(platform.address, participant)
        for _ in upload_corpus(platform.address, shelf, corpus.documents):
            platform.require_alive()
        _wait_indexed(platform, shelf, corpus)
        with TenantClient(platform.address, participant.token) as client:
            found = {
                (mode, language): _recall(client, shelf, mode, _asked_in(corpus.questions, language))
                for mode in MODES
                for language in LANGUAGES
            }
    return _conclude(corpus, found)


def _wait_indexed(platform: Platform, shelf: Shelf, corpus: Corpus) -> None:
    tenant_id = shelf.participant.tenant_id
    deadline = time.monotonic() + INDEX_SECONDS
    while time.monotonic() < deadline:
        platform.require_alive()
        counts = read_counts([tenant_id])[tenant_id]
        if counts.ended == len(corpus.documents):
            return
        time.sleep(0.5)
    raise MeasureFailedError(f"Not indexed within {INDEX_SECONDS:.0f} s.\n{platform.log_tail()}")


def _asked_in(questions: Sequence[Question], language: str) -> list[Question]:
    return [question for question in questions if question.language == language]


def _recall(client: TenantClient, shelf: Shelf, mode: str, questions: Sequence[Question]) -> float:
    found = sum(
        question.document
        in {hit.document for hit in client.search(shelf.dataset_id, question.text, top_k=TOP_K, mode=mode)}
        for question in questions
    )
    return found / len(questions)


def _conclude(corpus: Corpus, found: Mapping[tuple[str, str], float]) -> list[Finding]:
    findings = []
    for code, language in LANGUAGES.items():
        others = ", ".join(f"{mode} {found[mode, code]:.3f}" for mode in MODES[1:])
        findings.append(
            Finding(
                what=f"recall@{TOP_K} of the shipped questions in {language}",
                target=f"≥ {TARGET}",
                measured=f"{found[MODES[0], code]:.3f}",
                is_met=found[MODES[0], code] >= TARGET,
                beside=f"{len(_asked_in(corpus.questions, code))} questions over {len(corpus.good)} documents of "
                f"`examples/corpus/`, indexed through the API; mode {MODES[0]}; {others}; a question counts as found "
                f"if one of the first {TOP_K} chunks belongs to the one document that answers it",
            )
        )
    return findings
