"""What a reader of a document is told of its phases."""

from __future__ import annotations

import pytest

from scheduling.lifecycle import JobState
from scheduling.processors.document_indexing import phases
from scheduling.processors.retrieval import repository
from scheduling.processors.retrieval.models import Dataset
from tests.integration.document_indexing.conftest import Hands, upload
from tests.integration.document_indexing.test_indexing import SENTENCES, document_of, positions_of


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


def test_a_small_document_is_begun_and_stored_in_one_transaction(
    dataset: Dataset, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = upload(dataset, queues_txt=SENTENCES.encode())

    def fail(*_: object) -> None:
        raise RuntimeError("not now")

    with monkeypatch.context() as patched:
        patched.setattr(phases, "SHORT_SECONDS", 3_600.0)
        patched.setattr(repository, "append_chunks", fail)
        job = hands.run(taken.files[0].document.job_id)
    document = document_of(taken)
    assert (job.state, positions_of(document), document.passages_digest) == (JobState.RETRYABLE, [], "")
