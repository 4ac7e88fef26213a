"""Values of indexing: the checkpoint of an item, and passages as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from workloads.documents.blocks import Block, Facts
from workloads.documents.models import DocumentStatus
from workloads.documents.one_item.item import (
    STATE_FIELDS,
    IndexingItem,
    IndexingSettings,
    IndexingState,
    PassagesUnreadableError,
    passages_from_bytes,
    passages_to_bytes,
)
from workloads.documents.repository import DocumentSource
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage, passages_digest
from workloads.pipelines.models import PipelineEntity

MAX_STATE_BYTES = 2_048
STATE = IndexingState(
    content_key="k" * 200,
    content_sha256="a" * 64,
    content_type="t" * 100,
    size_bytes=2**40,
    passages_key="k" * 200,
    passages_sha256="b" * 64,
    document_id=UUID(int=7),
    chunks_done=59_999,
    chunks_total=60_000,
)
CANARY = "canary-of-a-text"


def document(**changes: Any) -> DocumentSource:
    source = DocumentSource(
        id=UUID(int=7),
        tenant_id=UUID(int=1),
        dataset_id=UUID(int=5),
        job_id=UUID(int=8),
        status=DocumentStatus.INDEXING,
        name="a.txt",
        content_type="text/plain",
        storage_key="k",
        sha256="a",
        size_bytes=1,
        batch_id=UUID(int=9),
        split_settings=SplitSettings(),
        embedding_model="model",
        passages_digest="",
        chunks_done=0,
        source_url=f"https://example.com/?key={CANARY}",
    )
    return replace(source, **changes)


def item(**changes: Any) -> IndexingItem:
    settings = IndexingSettings(SplitSettings(), batch_size=2)
    return IndexingItem(UUID(int=1), "a.txt", "a.txt", settings, "model", IndexingState(), **changes)


@pytest.mark.parametrize("state", [IndexingState(), STATE])
def test_checkpoint_of_state_has_its_fields_and_is_small(state: IndexingState) -> None:
    text = json.dumps(state.as_json())
    assert IndexingState(**{**json.loads(text), "document_id": state.document_id}) == state
    assert len(text) <= MAX_STATE_BYTES


def test_fields_of_state_are_columns_of_an_entity() -> None:
    columns = {column.name for column in PipelineEntity._meta.concrete_fields}
    assert set(STATE_FIELDS) <= columns


def test_content_and_addresses_are_in_neither_state_nor_repr() -> None:
    full = item(
        data=CANARY.encode(),
        blocks=[Block(CANARY)],
        passages=[Passage(0, CANARY, {"heading": [CANARY]})],
        source=document(),
    )
    assert CANARY not in json.dumps(full.state.as_json())
    assert CANARY not in repr(full)


def test_batches_follow_one_another_until_item_is_complete() -> None:
    given = item(passages=[Passage(position, str(position), {}) for position in range(5)])
    positions = []
    while not given.is_whole:
        batch = given.next_batch()
        positions.append([passage.position for passage in batch])
        given = given.with_progress(len(batch))
    assert positions == [[0, 1], [2, 3], [4]]
    assert not item().is_whole


@pytest.mark.parametrize(("digest", "done"), [("equal", 3), ("other", 0)])
def test_item_begins_at_the_mark_of_its_document_with_equal_passages(digest: str, done: int) -> None:
    given = item(
        passages=[Passage(position, "x", {}) for position in range(5)],
        digest="equal",
        source=document(passages_digest=digest, chunks_done=3),
    )
    begun = given.begun()
    assert (begun.state.chunks_done, begun.state.chunks_total) == (done, 5)


def test_document_of_item_without_one_raises() -> None:
    with pytest.raises(ValueError, match=r"a\.txt"):
        _ = item().document


def test_passages_are_equal_after_conversion_to_bytes() -> None:
    passages = [Passage(0, "一 \u2028 \U0001f600", {"page": 1, "heading": ["A", "B"]}), Passage(1, "two", {})]
    facts = Facts("cp1252", 2, 1, ["One of 2 pages has no text."])
    again, facts_again = passages_from_bytes(passages_to_bytes(passages, facts))
    assert (again, facts_again) == (passages, facts)
    assert passages_digest(again) == passages_digest(passages)


@pytest.mark.parametrize("data", [b"", b"{", b"7", b"[1]", b"[[1, 2, 3]]", b"\xff"])
def test_other_bytes_are_refused_as_passages(data: bytes) -> None:
    with pytest.raises(PassagesUnreadableError):
        passages_from_bytes(data)
