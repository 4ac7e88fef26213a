"""Passages on their way through the file storage."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scheduling.processors.base import TransientError
from scheduling.processors.retrieval.splitting import Passage


class ArtefactError(TransientError):
    """What the step before has left is not what it left; the entity begins anew."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="passages_unreadable")


def passages_to_bytes(passages: Sequence[Passage]) -> bytes:
    """The passages as JSON."""
    rows = [[passage.text, passage.location] for passage in passages]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def passages_from_bytes(data: bytes) -> list[Passage]:
    """The passages that :func:`passages_to_bytes` wrote."""
    try:
        return [Passage(position, text, location) for position, (text, location) in enumerate(json.loads(data))]
    except (TypeError, ValueError) as error:
        raise ArtefactError("The stored passages cannot be read.") from error
