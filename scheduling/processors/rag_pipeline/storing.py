"""Storing what the threads have computed, in a checkpoint's transaction: each result takes hold once or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from scheduling.processors.base import PermanentError, TransientError
from scheduling.processors.files.store import NewContent, storage_key, store_contents, taking_back
from scheduling.processors.rag_pipeline import repository
from scheduling.processors.rag_pipeline.models import EntityState
from scheduling.processors.rag_pipeline.repository import Entity, EntityGoneError, Plan
from scheduling.processors.rag_pipeline.steps import Embedded, Fetched, Prepared
from scheduling.processors.retrieval import repository as documents
from scheduling.processors.retrieval.exceptions import DocumentGoneError
from scheduling.processors.retrieval.loading import LoadedContent, open_document
from scheduling.processors.retrieval.repository import DocumentSource
from tenants.exceptions import DomainError

# Tries of one entity by one job, the first included.
MAX_ATTEMPTS = 4
# What the file storage should still have and has not; fetched and prepared anew it is there again.
_LOST = frozenset({"file_not_stored", "passages_unreadable"})


@dataclass(frozen=True, slots=True)
class Result:
    """What a thread has computed for an entity, or the error that it met; ``source`` is the document it loads into."""

    entity: Entity
    value: Fetched | Prepared | Embedded | None = None
    error: BaseException | None = None
    source: DocumentSource | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """How an entity stands after a result was stored; ``error`` is what it was refused for, or failed of."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    source: DocumentSource | None = None
    has_ended: bool = False
    error: BaseException | None = None


def store_results(plan: Plan, results: Sequence[Result]) -> dict[UUID, Stored]:
    """Effect: store the results, each in a savepoint, so that what refuses one leaves the others.

    There are as many as threads have ended since the last time, each with statements of its own tables. Those that
    take room come in one order, so that two runs of a tenant do not each wait for the other.
    """
    in_order = sorted(results, key=_order)
    stored = {result.entity.id: _store_or_refuse(plan, result) for result in in_order}
    if any(one.has_ended for one in stored.values()):
        repository.count_states(plan)
    return stored


def _order(result: Result) -> int:
    match result.value:
        case Fetched():
            return 0
        case Prepared(data=data):
            return 1 if data is not None else 2
    return 3


def _store_or_refuse(plan: Plan, result: Result) -> Stored:
    if result.error is not None:
        return _note(plan, result.entity, result.error)
    try:
        with taking_back(plan.tenant_id) as written, transaction.atomic():
            return _store(plan, result, written)
    except EntityGoneError as error:
        return Stored(has_ended=True, error=error)
    except DocumentGoneError as error:
        return _note(plan, result.entity, TransientError(str(error), code="document_gone"))
    except DomainError as refusal:
        return _note(plan, result.entity, PermanentError(str(refusal), code=refusal.code))


def _store(plan: Plan, result: Result, written: list[str]) -> Stored:
    match result.value:
        case Fetched():
            return _store_content(plan, result.entity, result.value, written)
        case Prepared():
            return _store_passages(plan, result.entity, result.value, written)
        case Embedded():
            assert result.source is not None  # nothing is embedded before its document is open
            return _store_chunks(plan, result.entity, result.value, result.source)
    raise TypeError(f"A step computed a {type(result.value).__name__}.")


def _store_content(plan: Plan, entity: Entity, fetched: Fetched, written: list[str]) -> Stored:
    key, sha256 = _keep(plan, fetched.data, written)
    changes = {
        "content_key": key,
        "content_sha256": sha256,
        "content_type": fetched.content_type,
        "size_bytes": len(fetched.data),
    }
    repository.change(plan, entity.id, **changes)
    return Stored(changes)


def _store_passages(plan: Plan, entity: Entity, prepared: Prepared, written: list[str]) -> Stored:
    changes: dict[str, Any] = {"content_type": prepared.content_type}
    if prepared.data is not None:
        changes["passages_key"], changes["passages_sha256"] = _keep(plan, prepared.data, written)
    total = len(prepared.passages)
    content = LoadedContent(
        name=entity.name,
        content_type=prepared.content_type,
        size_bytes=entity.size_bytes,
        sha256=entity.content_sha256,
        storage_key=entity.content_key,
        settings_key=plan.recipe.settings_key(plan.embedding_model),
    )
    opened = open_document(
        content,
        dataset_id=plan.dataset_id,
        job_id=plan.job_id,
        batch_id=plan.run_id,
        digest=prepared.digest,
        total=total,
    )
    done = total if opened.is_complete else opened.source.chunks_done
    changes |= {"document_id": opened.source.id, "chunks_done": done, "chunks_total": total}
    if done < total:
        repository.change(plan, entity.id, **changes)
        return Stored(changes, opened.source)
    if not opened.is_complete:
        documents.complete(opened.source)
    repository.complete(plan, entity.id, is_duplicate=opened.is_complete, **changes)
    return Stored(changes, has_ended=True)


def _store_chunks(plan: Plan, entity: Entity, embedded: Embedded, source: DocumentSource) -> Stored:
    documents.append_chunks(source, embedded.passages, embedded.vectors)
    changes = {"chunks_done": embedded.passages[-1].position + 1}
    if changes["chunks_done"] < (entity.chunks_total or 0):
        repository.change(plan, entity.id, **changes)
        return Stored(changes, source)
    documents.complete(source)
    repository.complete(plan, entity.id, **changes)
    return Stored(changes, has_ended=True)


def _keep(plan: Plan, data: bytes, written: list[str]) -> tuple[str, str]:
    """Put bytes into the file storage, for the row that is about to refer to them: key and hash."""
    content = NewContent(hashlib.sha256(data).hexdigest(), len(data), io.BytesIO(data))
    store_contents(plan.tenant_id, [content], written=written)
    return storage_key(plan.tenant_id, content.sha256), content.sha256


def _note(plan: Plan, entity: Entity, error: BaseException) -> Stored:
    """The error with its entity, which is tried again unless no time heals it or it was tried often enough."""
    code = str(getattr(error, "code", type(error).__name__))
    is_final = isinstance(error, PermanentError) or entity.attempt >= MAX_ATTEMPTS
    changes: dict[str, Any] = {}
    if code in _LOST:
        changes = {"passages_key": "", "passages_sha256": ""}
        if entity.source["type"] != "file":
            changes |= {"content_key": "", "content_sha256": ""}
    try:
        with transaction.atomic():
            repository.fail(plan, entity.id, code=code, message=str(error), is_final=is_final, **changes)
    except EntityGoneError as gone:
        return Stored(has_ended=True, error=gone)
    return Stored({**changes, "state": EntityState.WAITING}, has_ended=is_final, error=error)
