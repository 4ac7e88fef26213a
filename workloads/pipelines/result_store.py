"""Storage of results that threads have computed. Each is stored completely or not at all, in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from scheduling.kit.base import PermanentError, TransientError
from tenants.exceptions import DomainError
from workloads.documents.exceptions import DocumentGoneError
from workloads.documents.models import DocumentStatus
from workloads.documents.one_item import storing
from workloads.documents.one_item.item import IndexingItem
from workloads.files.store import discard_on_error
from workloads.pipelines import repository
from workloads.pipelines.models import EntityState
from workloads.pipelines.repository import EntityGoneError, RunEntity, RunPlan

# Attempts of one entity by one job, the first included.
MAX_ATTEMPTS = 4
# Errors of content that the file storage has lost; the next attempt fetches and prepares it again.
_LOST = frozenset({"file_not_stored", "passages_unreadable"})
_ORDER: Final = {"fetch": 0, "prepare": 1, "reload": 2, "embed": 3}


@dataclass(frozen=True, slots=True)
class EntityResult:
    """The result of a step on an entity: ``value`` is an item or a batch, or ``error`` is what the step raised."""

    entity: RunEntity
    item: IndexingItem
    step: str
    value: Any = None
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """An entity and its item after a result was stored; ``error`` is why it was refused or failed."""

    entity: RunEntity
    item: IndexingItem
    has_ended: bool = False
    error: BaseException | None = None


def store_results(plan: RunPlan, results: Sequence[EntityResult]) -> dict[UUID, StoredBatch]:
    """Store the results in the current transaction, each in a savepoint, so that a refused one affects no other.

    Call it with the results of all threads that have finished since the last call. The statements that count storage
    run in a fixed order, so that two runs of a tenant do not deadlock.
    """
    in_order = sorted(results, key=lambda result: _ORDER[result.step])
    stored = {result.entity.id: _store_or_refuse(plan, result) for result in in_order}
    if any(one.has_ended for one in stored.values()):
        repository.count_states(plan)
    return stored


def _store_or_refuse(plan: RunPlan, result: EntityResult) -> StoredBatch:
    if result.error is not None:
        return _note(plan, result, result.error)
    try:
        with discard_on_error(plan.tenant_id) as written, transaction.atomic():
            return _store(plan, result, written)
    except EntityGoneError as error:
        return StoredBatch(result.entity, result.item, has_ended=True, error=error)
    except DocumentGoneError as error:
        return _note(plan, result, TransientError(str(error), code="document_gone"))
    except DomainError as refusal:
        return _note(plan, result, PermanentError(str(refusal), code=refusal.code))


def _store(plan: RunPlan, result: EntityResult, written: list[str]) -> StoredBatch:
    entity, value = result.entity, result.value
    match result.step:
        case "fetch":
            return _save(plan, entity, storing.store_content(value, written))
        case "prepare":
            return _open(plan, entity, storing.store_passages(value, written))
        case "reload":
            return _open(plan, entity, value)
    storing.store_batch(result.item, value)
    return _save(plan, entity, result.item.with_progress(len(value.passages)))


def _open(plan: RunPlan, entity: RunEntity, item: IndexingItem) -> StoredBatch:
    place = {"dataset_id": plan.dataset_id, "job_id": plan.job_id, "batch_id": plan.run_id}
    item = storing.open_document(item, settings_key=plan.settings_key, **place)
    return _save(plan, entity, item, is_duplicate=item.document.status is DocumentStatus.COMPLETED)


def _save(plan: RunPlan, entity: RunEntity, item: IndexingItem, *, is_duplicate: bool = False) -> StoredBatch:
    """Store the item's state with its entity, which is completed if every passage is stored."""
    entity, columns = replace(entity, progress=item.state), asdict(item.state)
    if not item.is_whole:
        repository.change(plan, entity.id, **columns)
        return StoredBatch(entity, item)
    if not is_duplicate:
        storing.complete(item)
    repository.complete(plan, entity.id, is_duplicate=is_duplicate, **columns)
    return StoredBatch(entity, item, has_ended=True)


def _note(plan: RunPlan, result: EntityResult, error: BaseException) -> StoredBatch:
    """Store an error with its entity, which is retried unless the error is permanent or the attempt the last."""
    entity = result.entity
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
        return StoredBatch(entity, result.item, has_ended=True, error=gone)
    entity = replace(entity, state=EntityState.WAITING, progress=replace(entity.progress, **changes))
    return StoredBatch(entity, repository.item_of(plan, entity), has_ended=is_final, error=error)
