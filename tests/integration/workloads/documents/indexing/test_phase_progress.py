"""Phases of a document, as its readers see them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Dependency
from tenants.context import all_tenants
from tests.integration.workloads.documents.indexing.conftest import JobRunner, upload
from tests.integration.workloads.documents.indexing.test_indexing import SENTENCES, document_of, positions_of
from workloads.documents import repository
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.indexing import phase_progress
from workloads.documents.models import Dataset, Document
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem


@pytest.mark.parametrize("short_seconds", [0.0, 3_600.0])
def test_short_phases_are_stored_together_with_the_next(
    dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch, short_seconds: float
) -> None:
    monkeypatch.setattr(phase_progress, "SHORT_SECONDS", short_seconds)
    stored: list[list[str]] = []
    enter = repository.enter_phases
    monkeypatch.setattr(
        repository,
        "enter_phases",
        lambda source, all_: (stored.append([one[0].value for one in all_]), enter(source, all_)),
    )
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    assert job_runner.run(taken.files[0].document.job_id).state == JobState.COMPLETED
    assert stored == (
        [["parsing"], ["cleaning", "splitting"]] if short_seconds else [["parsing"], ["cleaning"], ["splitting"]]
    )
    document = document_of(taken)
    times = [document.parsing_at, document.cleaning_at, document.splitting_at, document.indexing_at]
    assert None not in times
    assert times == sorted(times)


def fail(*_: object) -> None:
    raise RuntimeError("not now")


def test_small_document_is_started_and_stored_in_one_transaction(
    dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    with monkeypatch.context() as patched:
        patched.setattr(phase_progress, "SHORT_SECONDS", 3_600.0)
        patched.setattr(repository, "append_chunks", fail)
        job = job_runner.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, positions_of(document), document.passages_digest) == (JobState.RETRYABLE, [], "")


def test_document_waiting_for_an_endpoint_shows_the_indexing_phase(
    dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(Embedder):
        dependency = Dependency("embeddings")

        def embed(self, texts: object) -> object:
            raise EndpointRateLimitedError("busy", seconds=7)

    monkeypatch.setattr("workloads.documents.indexing.processor.embedder_of", lambda *_: Busy())
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    job = job_runner.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, document.shown_status, positions_of(document)) == (JobState.SCHEDULED, "indexing", [])


def test_parsing_phase_is_stored_once_the_page_is_fetched(
    dataset: Dataset, job_runner: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[float] = []
    monkeypatch.setattr(repository, "enter_phases", lambda source, all_: stored.extend(seconds for _, seconds in all_))
    monkeypatch.setattr(phase_progress, "SHORT_SECONDS", 3_600.0)
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    with all_tenants():
        Document.objects.update(is_fetch_due=True)

    def fetched(item: IndexingItem, *_: object, **__: object) -> IndexingItem:
        return replace(item, data=b"Text.").with_state(content_type="text/plain")

    monkeypatch.setattr(steps, "fetch_page", fetched)
    monkeypatch.setattr(steps, "extract", fail)
    job_runner.run(taken.files[0].document.job_id)
    assert len(stored) == 1
