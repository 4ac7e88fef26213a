"""The values that indexing steps take and return: the settings, state and content of one item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from scheduling.kit.base import Json, TransientError
from workloads.documents.blocks import Block, Facts
from workloads.documents.extraction.limits import ParsingLimits
from workloads.documents.split_settings import SplitSettings
from workloads.documents.splitting import Passage

if TYPE_CHECKING:
    from workloads.documents.repository import DocumentSource


class PassagesUnreadableError(TransientError):
    """Raised if stored passages cannot be parsed. The item is then prepared again."""

    def __init__(self) -> None:
        super().__init__("The stored passages cannot be read.", code="passages_unreadable")


@dataclass(frozen=True, slots=True)
class IndexingSettings:
    """How content is extracted, cleaned, split and embedded. A maximum of None means that there is no limit.

    ``encoding`` is that of a file of text; if it is empty, it is detected. ``max_percent_without_text`` is the share of
    pages that may have no text.
    ``batch_size`` is the number of chunks that are embedded and stored at a time.
    """

    split_settings: SplitSettings
    encoding: str = ""
    remove_urls: bool = False
    remove_emails: bool = False
    batch_size: int = 32
    max_characters: int | None = None
    max_chunks: int | None = None
    max_percent_without_text: int = 100
    parsing: ParsingLimits = field(default_factory=ParsingLimits)


@dataclass(frozen=True, slots=True)
class IndexingState:
    """The progress of one item: what a later start of the job needs. It holds references, not the content.

    It is stored as JSON in a job's checkpoint and, under the same names, in the columns of a pipeline entity. A later
    start resumes at the ``chunks_done`` of the document, not at the value in this object.
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
        """Return the state as JSON values, for a job's checkpoint."""
        return {**asdict(self), "document_id": str(self.document_id) if self.document_id else None}


STATE_FIELDS: Final = tuple(one.name for one in fields(IndexingState))


@dataclass(frozen=True, slots=True)
class IndexingItem:
    """One document or pipeline entity while it is indexed.

    ``file_name`` decides the type of a text whose content does not. ``data``, ``blocks``, ``facts`` and ``passages``
    are in memory only; a step drops what it has used up. ``source`` is the document, or None before it exists. If there
    is a ``summary_model``, the last of the passages is its summary, made of the ``beginning`` of the text.
    """

    tenant_id: UUID
    name: str
    file_name: str
    settings: IndexingSettings
    embedding_model: str
    state: IndexingState
    data: bytes | None = field(default=None, repr=False)
    blocks: Sequence[Block] = field(default=(), repr=False)
    facts: Facts = field(default_factory=Facts, repr=False)
    passages: Sequence[Passage] = field(default=(), repr=False)
    digest: str = ""
    source: DocumentSource | None = field(default=None, repr=False)
    summary_model: str = ""
    beginning: str = field(default="", repr=False)

    @property
    def document(self) -> DocumentSource:
        """Return the document of the item; raise ValueError if it does not exist yet."""
        if self.source is None:
            raise ValueError(f"{self.name} has no document yet.")
        return self.source

    @property
    def is_whole(self) -> bool:
        """Return whether every passage is stored."""
        return bool(self.passages) and self.state.chunks_done == len(self.passages)

    @property
    def is_resumed(self) -> bool:
        """Return whether the storing of exactly these passages was begun before."""
        return self.document.passages_digest == self.digest

    @property
    def is_summary_due(self) -> bool:
        """Return whether every passage is stored but the summary, which the model has not returned yet."""
        return not self.is_whole and self.next_batch()[0].is_summary and not self.passages[-1].text

    def next_batch(self) -> Sequence[Passage]:
        """Return the passages that are to be embedded and stored next; the summary is in a batch of its own."""
        batch = self.passages[self.state.chunks_done : self.state.chunks_done + self.settings.batch_size]
        return batch[:-1] if len(batch) > 1 and batch[-1].is_summary else batch

    def with_summary(self, text: str) -> IndexingItem:
        """Return a copy of the item whose summary has this text; without a summary if there is no text."""
        *others, last = self.passages
        return replace(self, passages=[*others, replace(last, text=text)] if text else others)

    def with_state(self, **changes: Any) -> IndexingItem:
        """Return a copy of the item with these changes of its state."""
        return replace(self, state=replace(self.state, **changes))

    def with_progress(self, count: int) -> IndexingItem:
        """Return a copy of the item with ``count`` more passages stored."""
        return self.with_state(chunks_done=self.state.chunks_done + count)

    def begun(self) -> IndexingItem:
        """Return a copy of the item at its start: the document's stored chunks if it is resumed, else no chunk."""
        done = self.document.chunks_done if self.is_resumed else 0
        return self.with_state(chunks_done=done, chunks_total=len(self.passages))


def passages_to_bytes(passages: Sequence[Passage], facts: Facts) -> bytes:
    """Return the passages and the facts of their file as JSON, in UTF-8."""
    rows = [[passage.text, passage.location] for passage in passages]
    stored = {"facts": facts.as_json(), "passages": rows}
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":")).encode()


def passages_from_bytes(data: bytes) -> tuple[list[Passage], Facts]:
    """Return what `passages_to_bytes` has written; raise `PassagesUnreadableError` for anything else."""
    try:
        stored = json.loads(data)
        rows = enumerate(stored["passages"])
        return [Passage(position, *row) for position, row in rows], Facts(**stored["facts"])
    except (TypeError, ValueError, KeyError) as error:
        raise PassagesUnreadableError from error
