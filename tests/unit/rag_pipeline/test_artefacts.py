"""Passages through the file storage and back."""

from __future__ import annotations

import pytest

from scheduling.processors.rag_pipeline.artefacts import ArtefactError, passages_from_bytes, passages_to_bytes
from scheduling.processors.retrieval.splitting import Passage, passages_digest


def test_passages_come_back_as_they_were() -> None:
    passages = [Passage(0, "一 \u2028 \U0001f600", {"page": 1, "heading": ["A", "B"]}), Passage(1, "two", {})]
    again = passages_from_bytes(passages_to_bytes(passages))
    assert again == passages
    assert passages_digest(again) == passages_digest(passages)


@pytest.mark.parametrize("data", [b"", b"{", b"7", b"[1]", b"[[1, 2, 3]]", b"\xff"])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ArtefactError):
        passages_from_bytes(data)
