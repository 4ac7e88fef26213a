"""The processor of the kind `document_sync`: list the items of a source → fetch what changed → mark what is gone.

Each page of the listing and each item is stored in a transaction, so that a sync continues after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import batched
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import (
    Complete,
    DependencyRefusedError,
    Discard,
    JobContext,
    Outcome,
    PermanentError,
    Snoozed,
    TaskProcessor,
    TransientError,
    Yielded,
)
from tenants.exceptions import DomainError
from workloads.documents.exceptions import BatchTooLargeError
from workloads.documents.indexing.exceptions import DocumentBusyError, DocumentNotFoundError, EditsWouldBeLostError
from workloads.documents.sources import repository
from workloads.documents.sources.calls import Calls, NotYetError
from workloads.documents.sources.connector import Connector, ListedItem
from workloads.documents.sources.models import MAX_KEY_BYTES, SourceItem
from workloads.documents.sources.registry import connectors
from workloads.documents.sources.repository import SourceGoneError, Sync
from workloads.files.exceptions import UploadRefusedError

# Items that are stored or read in one statement.
BATCH_ITEMS = 500
# Before the time limit of an execution, so that a long sync goes on in another one.
_SLICE_SECONDS = 300.0
_WAIT_SECONDS = 60.0
# Refusals of one content; others are of the tenant or the dataset and end the sync.
_ITEM_REFUSALS = (UploadRefusedError, EditsWouldBeLostError, DocumentBusyError, DocumentNotFoundError)


@dataclass(frozen=True, slots=True)
class SyncState:
    """The checkpoint of a sync: where its listing goes on, and the pace of its requests."""

    number: int
    cursor: Any = None
    listed: int = 0
    is_listed: bool = False
    is_complete: bool = True
    delay_seconds: float = 0.0
    next_at: float = 0.0


class DocumentSync(TaskProcessor):
    """Processor of the kind `document_sync`. Each job syncs one source of documents."""

    kind = "document_sync"
    memory_class = "medium"
    title = gettext_noop("Sync of a document source")
    description = gettext_noop("Brings the documents of a dataset in line with a bucket or a web site.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"source": {"type": "string", "format": "uuid", "maxLength": 36, "title": "Source"}},
        "required": ["source"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0

    @classmethod
    def subjects_of(cls, payloads: Sequence[Mapping[str, Any]]) -> Sequence[UUID | None]:
        """Return the datasets of the sources: their labels limit the regions."""
        return repository.datasets_of([payload.get("source") for payload in payloads])

    def process(self, context: JobContext) -> Outcome:
        state = SyncState(**context.state) if context.state else None
        source_id, number = UUID(context.payload["source"]), state.number if state else None
        sync = repository.begin_sync(context.tenant_id, source_id, job_id=context.job_id, number=number)
        if sync is None:
            context.log("skipped", level="warning", why="The source is disabled, or another sync of it runs.")
            return Complete({"source": str(source_id), "skipped": True})
        if state is None or state.number != sync.number:
            state = SyncState(sync.number)
        return _Execution(context, sync, state).run()

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Discard a job whose source was deleted; leave other errors to the platform's policy (None)."""
        if isinstance(error, SourceGoneError):
            return Discard(str(error), PermanentError(str(error), code="source_gone"))
        return None


class _PauseError(Exception):
    """The end of an execution before that of its sync."""

    def __init__(self, seconds: float | None = None) -> None:
        super().__init__()
        self.seconds = seconds


class _Execution:
    """One execution of a sync."""

    def __init__(self, context: JobContext, sync: Sync, state: SyncState) -> None:
        self.context, self.sync, self.state = context, sync, state
        source = sync.source
        self.calls = Calls(context, source.credentials, source.max_file_bytes, state.delay_seconds, state.next_at)
        self._ends_at = time.monotonic() + _SLICE_SECONDS

    def run(self) -> Outcome:
        connector = _connector_of(self.sync, self.calls)
        try:
            while not self.state.is_listed:
                self._list_page(connector)
            self._fetch_due(connector)
            if self.state.is_complete:
                self._bury_missed()
        except NotYetError as pause:
            return Snoozed(self._kept(), pause.seconds, "source_pace")
        except _PauseError as pause:
            return Yielded(self._kept()) if pause.seconds is None else Snoozed(self._kept(), pause.seconds)
        counts = repository.complete_sync(self.sync, is_complete=self.state.is_complete)
        self.context.log("synced", **counts)
        return Complete({"source": str(self.sync.source.pk), **counts})

    def _list_page(self, connector: Connector) -> None:
        """Store a page of the listing; the checkpoint moves on after its last items."""
        self._pass()
        page = connector.list_items(self.state.cursor)
        found = {item.key: item for item in page.items if _can_be_stored(item)}
        if left_out := len(page.items) - len(found):
            self.context.log(
                "left_out", level="warning", items=left_out, why="The key is too long, invalid or repeated."
            )
        kept = list(found.values())[: self.sync.source.max_documents - self.state.listed]
        is_cut = len(kept) < len(found)
        for items in batched(kept, BATCH_ITEMS):
            self.context.checkpoint(self._kept(), lambda: repository.mark_listed(self.sync, items))  # noqa: B023 - called at once
        self.state = replace(
            self.state,
            cursor=page.cursor,
            listed=self.state.listed + len(kept),
            is_listed=is_cut or page.cursor is None,
            is_complete=self.state.is_complete and page.is_complete and not is_cut,
        )
        self.context.checkpoint(self._kept())
        if self.state.is_listed:
            self.context.log("listed", items=self.state.listed, is_complete=self.state.is_complete)

    def _fetch_due(self, connector: Connector) -> None:
        total, done = repository.count_due(self.sync), 0
        while items := repository.find_due(self.sync, limit=BATCH_ITEMS):
            for item in items:
                self._pass()
                self._fetch(connector, item)
                done += 1
                self.context.report_progress(done, max(total, done), "items")

    def _fetch(self, connector: Connector, item: SourceItem) -> None:
        try:
            found = connector.fetch(ListedItem(item.key, item.version))
            repository.apply_content(self.sync, item.pk, item.version, found)
        except DependencyRefusedError:
            raise
        except (PermanentError, TransientError, *_ITEM_REFUSALS) as error:
            code, message = _describe(error)
            repository.store_error(self.sync, item.pk, code=code, message=message)
            self.context.log("item_failed", level="warning", item=item.key, code=code)
        except DomainError as refusal:
            raise self._end_for(refusal) from refusal

    def _end_for(self, refusal: DomainError) -> Exception:
        """Return the error for a refusal that would refuse each item: wait for room in a queue, or end the sync."""
        if refusal.category in ("limited", "unavailable") and not isinstance(refusal, BatchTooLargeError):
            return _PauseError(float(refusal.retry_after_seconds or _WAIT_SECONDS))
        return PermanentError(str(refusal), code=refusal.code)

    def _bury_missed(self) -> None:
        """Mark items that were not listed as gone; a source without any item is more likely an error."""
        missed = repository.find_missed(self.sync, limit=BATCH_ITEMS)
        if missed and not self.state.listed:
            raise PermanentError("The source lists no item any more; no document was deleted.", code="source_empty")
        while missed:
            for item in missed:
                self._pass()
                try:
                    repository.bury(self.sync, item.pk)
                except DomainError as refusal:
                    raise PermanentError(str(refusal), code=refusal.code) from refusal
            missed = repository.find_missed(self.sync, limit=BATCH_ITEMS)

    def _pass(self) -> None:
        """End the execution if another job waits for the slot, or before its time limit."""
        if self.context.should_yield() or time.monotonic() > self._ends_at:
            raise _PauseError

    def _kept(self) -> dict[str, Any]:
        pace = {"delay_seconds": self.calls.delay_seconds, "next_at": self.calls.next_at}
        return asdict(self.state) | pace


def _connector_of(sync: Sync, calls: Calls) -> Connector:
    connector = connectors().get(sync.source.connector)
    if connector is None:
        raise PermanentError(f"The connector {sync.source.connector} is not installed.", code="connector_missing")
    return connector(sync.source.config, calls)


def _can_be_stored(item: ListedItem) -> bool:
    try:
        size = len(item.key.encode())
    except UnicodeEncodeError:
        return False
    return 0 < size <= MAX_KEY_BYTES and "\0" not in item.key + item.version


def _describe(error: PermanentError | TransientError | DomainError) -> tuple[str, str]:
    """Return the code and the message of an item's error; those of its content if an upload is refused."""
    if isinstance(error, UploadRefusedError) and error.errors:
        return error.errors[0]["code"], error.errors[0]["detail"]
    return error.code, str(error)
