"""Input and output of indexing steps: settings, state and content of one item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from scheduling.kit.base import Json, TransientError
from workloads.documents.blocks import Block
from workloads.documents.extraction.limits import ParsingLimits
from workloads.documents.splitting import Passage, SplitSettings

if TYPE_CHECKING:
    from workloads.documents.repository import DocumentSource


class PassagesUnreadableError(TransientError):
    """Stored passages that cannot be parsed; the item is prepared again."""

    def __init__(self) -> None:
        super().__init__("The stored passages cannot be read.", code="passages_unreadable")


@dataclass(frozen=True, slots=True)
class IndexingSettings:
    """How content is extracted, cleaned, split and embedded; None means no limit.

    ``split_mode`` is ``fixed`` or ``markdown``; only ``markdown`` uses ``heading_level``. ``batch_size`` is the number
    of chunks that are embedded and stored at a time.
    """

    split_settings: SplitSettings
    split_mode: str = "fixed"
    heading_level: int = 2
    remove_urls: bool = False
    remove_emails: bool = False
    batch_size: int = 32
    max_characters: int | None = None
    max_chunks: int | None = None
    parsing: ParsingLimits = field(default_factory=ParsingLimits)


@dataclass(frozen=True, slots=True)
class IndexingState:
    """Progress of one item, by reference only: what a later start needs.

    Stored as JSON in a job's checkpoint and, under the same names, in the columns of an entity. A later start resumes
    at the ``chunks_done`` of the document, not at the one here.
    """

    content_key: str = ""
    content_sha256: str = ""
    content_type: str = ""
    size_bytes: int = 0
    passages_key: str = ""
    passages_sha256: str = ""
    document_id: UUID | None = None
    chunks_done: int = 0
    chunks_total: int | None = None

    def as_json(self) -> Json:
        """Return the fields as a checkpoint stores them, from which a job's progress is read."""
        return {**asdict(self), "document_id": str(self.document_id) if self.document_id else None}


STATE_FIELDS: Final = tuple(one.name for one in fields(IndexingState))


@dataclass(frozen=True, slots=True)
class IndexingItem:
    """One document or entity during indexing.

    ``file_name`` decides the type of a text whose content does not. ``data``, ``blocks`` and ``passages`` are in memory
    only; a step drops what it has consumed. ``source`` is the document, or None before it exists.
    """

    tenant_id: UUID
    name: str
    file_name: str
    settings: IndexingSettings
    embedding_model: str
    state: IndexingState
    data: bytes | None = field(default=None, repr=False)
    blocks: Sequence[Block] = field(default=(), repr=False)
    passages: Sequence[Passage] = field(default=(), repr=False)
    digest: str = ""
    source: DocumentSource | None = field(default=None, repr=False)

    @property
    def document(self) -> DocumentSource:
        """The document; raise ValueError before it exists."""
        if self.source is None:
            raise ValueError(f"{self.name} has no document yet.")
        return self.source

    @property
    def is_whole(self) -> bool:
        """True if every passage is stored."""
        return bool(self.passages) and self.state.chunks_done == len(self.passages)

    @property
    def is_resumed(self) -> bool:
        """True if the document was begun with exactly these passages."""
        return self.document.passages_digest == self.digest

    def next_batch(self) -> Sequence[Passage]:
        """Return the passages that are embedded and stored next."""
        return self.passages[self.state.chunks_done : self.state.chunks_done + self.settings.batch_size]

    def with_state(self, **changes: Any) -> IndexingItem:
        """Return the item with changes of its state."""
        return replace(self, state=replace(self.state, **changes))

    def with_progress(self, count: int) -> IndexingItem:
        """Return the item with ``count`` more passages stored."""
        return self.with_state(chunks_done=self.state.chunks_done + count)

    def begun(self) -> IndexingItem:
        """Return the item as `storing.begin` leaves it: at the document's mark if it is resumed, else at 0."""
        done = self.document.chunks_done if self.is_resumed else 0
        return self.with_state(chunks_done=done, chunks_total=len(self.passages))


def passages_to_bytes(passages: Sequence[Passage]) -> bytes:
    """Return passages as JSON."""
    rows = [[passage.text, passage.location] for passage in passages]
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def passages_from_bytes(data: bytes) -> list[Passage]:
    """Return the passages that :func:`passages_to_bytes` wrote; raise PassagesUnreadableError for anything else."""
    try:
        return [Passage(position, text, location) for position, (text, location) in enumerate(json.loads(data))]
    except (TypeError, ValueError) as error:
        raise PassagesUnreadableError from error
