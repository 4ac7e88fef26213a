"""Check of the result: each tenant finds its good documents, and the damaged one is a dead letter with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from jobsplatform.demo.client import TenantClient
from jobsplatform.demo.corpus import DAMAGED, Corpus, read_title
from jobsplatform.demo.uploads import Shelf

# A title identifies its document among 54; it must be near the top, not necessarily first.
TOP_K = 20


def find_missing_results(address: str, shelf: Shelf, corpus: Corpus, deaths: Mapping[UUID, str]) -> Iterator[str]:
    """Yield a sentence for each fault that the API shows in a tenant's documents.

    `deaths` maps job ids to the error messages of their dead letters.
    """
    with TenantClient(address, shelf.participant.token) as client:
        documents = {document["id"]: document for document in client.list_documents(shelf.dataset_id)}
        for path in corpus.documents:
            document = documents.get(shelf.documents.get(path.name, ""))
            if document is None:
                yield f"{path.name} was not accepted"
            elif path.name == DAMAGED:
                yield from _damaged_faults(document, deaths)
            elif document["status"] != "completed":
                yield f"{path.name} is {document['status']}: {document['error'] or 'no error was recorded'}"
            elif not _is_found(client, shelf, path):
                yield f"{path.name} is not found by its title"


def _is_found(client: TenantClient, shelf: Shelf, path: Path) -> bool:
    hits = client.search(shelf.dataset_id, read_title(path), top_k=TOP_K)
    return path.name in {hit.document for hit in hits}


def _damaged_faults(document: Mapping[str, Any], deaths: Mapping[UUID, str]) -> Iterator[str]:
    if document["status"] != "error":
        yield f"{DAMAGED} is {document['status']}, although it is damaged"
    elif not document["error"]:
        yield f"{DAMAGED} failed without a reason"
    if not deaths.get(UUID(document["job"]), ""):
        yield f"{DAMAGED} has no dead letter with a reason"
