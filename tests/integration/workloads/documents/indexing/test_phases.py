"""What a reader of a document is told of its phases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scheduling.jobs.lifecycle import JobState
from scheduling.kit.base import Dependency
from tenants.context import all_tenants
from tests.integration.workloads.documents.indexing.conftest import Hands, upload
from tests.integration.workloads.documents.indexing.test_indexing import SENTENCES, document_of, positions_of
from workloads.documents import repository
from workloads.documents.embedding import RateLimitedError, get_embedder
from workloads.documents.indexing import phases
from workloads.documents.models import Dataset, Document
from workloads.documents.one_item import steps
from workloads.documents.one_item.item import IndexingItem


@pytest.mark.parametrize("short_seconds", [0.0, 3_600.0])
def test_phases_are_told_as_they_come_or_with_the_next_where_nobody_could_see_them(
    dataset: Dataset, hands: Hands, monkeypatch: pytest.MonkeyPatch, short_seconds: float
) -> None:
    monkeypatch.setattr(phases, "SHORT_SECONDS", short_seconds)
    told: list[list[str]] = []
    enter = repository.enter_phases
    monkeypatch.setattr(
        repository,
        "enter_phases",
        lambda source, all_: (told.append([one[0].value for one in all_]), enter(source, all_)),
    )
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    assert hands.run(taken.files[0].document.job_id).state == JobState.COMPLETED
    assert told == (
        [["parsing"], ["cleaning", "splitting"]] if short_seconds else [["parsing"], ["cleaning"], ["splitting"]]
    )
    document = document_of(taken)
    times = [document.parsing_at, document.cleaning_at, document.splitting_at, document.indexing_at]
    assert None not in times
    assert times == sorted(times)


def fail(*_: object) -> None:
    raise RuntimeError("not now")


def test_a_small_document_is_begun_and_stored_in_one_transaction(
    dataset: Dataset, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    with monkeypatch.context() as patched:
        patched.setattr(phases, "SHORT_SECONDS", 3_600.0)
        patched.setattr(repository, "append_chunks", fail)
        job = hands.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, positions_of(document), document.passages_digest) == (JobState.RETRYABLE, [], "")


def test_a_document_that_waits_for_an_endpoint_says_that_it_is_indexed(
    dataset: Dataset, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy:
        name, dependency = get_embedder().name, Dependency("embeddings")

        def embed(self, texts: object) -> object:
            raise RateLimitedError("busy", seconds=7)

    monkeypatch.setattr(steps, "get_embedder", Busy)
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    job = hands.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, document.shown_status, positions_of(document)) == (JobState.SCHEDULED, "indexing", [])


def test_a_document_is_parsed_as_soon_as_its_page_is_there(
    dataset: Dataset, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    monkeypatch.setattr(repository, "enter_phases", lambda source, all_: told.extend(seconds for _, seconds in all_))
    monkeypatch.setattr(phases, "SHORT_SECONDS", 3_600.0)
    taken = upload(dataset, queues_txt=SENTENCES.encode())
    with all_tenants():
        Document.objects.update(is_fetch_due=True)

    def fetched(item: IndexingItem, *_: object, **__: object) -> IndexingItem:
        return replace(item, data=b"Text.").with_state(content_type="text/plain")

    monkeypatch.setattr(steps, "fetch_page", fetched)
    monkeypatch.setattr(steps, "extract", fail)
    hands.run(taken.files[0].document.job_id)
    assert len(told) == 1
