"""Upload of the example documents by each tenant, in batches that its plan allows."""

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
    """Dataset of one tenant, with the ids of its uploaded documents by file name."""

    participant: Participant
    dataset_id: str
    documents: dict[str, str] = field(default_factory=dict)


def open_shelf(address: str, participant: Participant) -> Shelf:
    """Create a dataset for the tenant."""
    with TenantClient(address, participant.token) as client:
        return Shelf(participant, client.create_dataset(DATASET))


def upload_corpus(address: str, shelf: Shelf, files: Sequence[Path]) -> Iterator[int]:
    """Upload all files in as few requests as the plan allows; yield the total number of uploaded files after each."""
    with TenantClient(address, shelf.participant.token) as client:
        for batch in batched(files, shelf.participant.files_per_upload):
            shelf.documents.update(client.upload(shelf.dataset_id, batch).documents)
            yield len(shelf.documents)
