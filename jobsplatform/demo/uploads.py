"""Uploads of the corpus by each tenant, within the batch limit of its plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path

from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.provision import Participant
from jobsplatform.demo.scenario import DATASET


@dataclass(slots=True)
class Shelf:
    """A tenant's dataset and the ids of its uploaded documents by file name."""

    participant: Participant
    dataset_id: str
    documents: dict[str, str] = field(default_factory=dict)


def open_shelf(address: str, participant: Participant) -> Shelf:
    """Create the tenant's dataset."""
    with TenantClient(address, participant.token) as client:
        return Shelf(participant, client.create_dataset(DATASET))


def upload_corpus(address: str, shelf: Shelf, files: Sequence[Path]) -> Iterator[int]:
    """Upload all files in as few requests as the plan allows; yield the number uploaded after each."""
    with TenantClient(address, shelf.participant.token) as client:
        for batch in batched(files, shelf.participant.files_per_upload):
            shelf.documents.update(client.upload(shelf.dataset_id, batch).documents)
            yield len(shelf.documents)
