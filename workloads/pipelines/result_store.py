"""Storage of results that threads have computed. Each is stored completely or not at all, in a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
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
from workloads.pipelines.indexing_settings import settings_in, settings_key
from workloads.pipelines.models import EntityState
from workloads.pipelines.repository import EntityGoneError, RunEntity, RunPlan
from workloads.pipelines.walk import MAX_ATTEMPTS, Walk
from workloads.workflows.engine.variables import TemplateFailedError, VariableMissingError

# Errors of content that the file storage has lost; the next attempt fetches and prepares it again.
_LOST = frozenset({"file_not_stored", "passages_unreadable"})
_ORDER: Final = {"content": 0, "passages": 1, "opened": 2, "batch": 3, "loaded": 3}


@dataclass(frozen=True, slots=True)
class EntityResult:
    """What a thread has done for an entity, or ``error``, which ended it."""

    entity: RunEntity
    walk: Walk
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
    in_order = sorted(results, key=lambda result: _ORDER.get(result.walk.result, len(_ORDER)))
    stored = {result.entity.id: _store_or_refuse(plan, result) for result in in_order}
    if any(one.has_ended for one in stored.values()):
        repository.count_states(plan)
    return stored


def _store_or_refuse(plan: RunPlan, result: EntityResult) -> StoredBatch:
    walk = result.walk
    if result.error is not None:
        code = code_of(result.error)
        return _note(plan, result, result.error, walk.nodes_to_store(code), walk.outputs_to_store())
    try:
        with discard_on_error(plan.tenant_id) as written, transaction.atomic():
            return _store(plan, result.entity, walk, written)
    except EntityGoneError as error:
        return StoredBatch(result.entity, walk.item, has_ended=True, error=error)
    except DocumentGoneError as error:
        refusal: Exception = TransientError(str(error), code="document_gone")
    except DomainError as error:
        refusal = PermanentError(str(error), code=error.code)
    except PermanentError as error:
        refusal = error
    except (TemplateFailedError, VariableMissingError) as error:
        refusal = PermanentError(str(error), code="template_failed")
    return _note(plan, result, refusal, walk.stored_with_error(code_of(refusal)), walk.outputs)


def _store(plan: RunPlan, entity: RunEntity, walk: Walk, written: list[str]) -> StoredBatch:
    match walk.result:
        case "content":
            walk.item = storing.store_content(walk.item, written)
        case "passages":
            walk.item = storing.store_passages(walk.item, written)
            # Otherwise a condition decides whether the entity becomes a document.
            if walk.is_due("embed"):
                _open(plan, walk)
        case "opened":
            _open(plan, walk)
        case "batch":
            assert walk.batch is not None
            storing.store_batch(walk.item, walk.batch)
            walk.item = walk.item.with_progress(len(walk.batch.passages))
    return _save(plan, entity, walk, is_duplicate=_settle(walk))


def _open(plan: RunPlan, walk: Walk) -> None:
    place = {"dataset_id": plan.dataset_id, "job_id": plan.job_id, "batch_id": plan.run_id}
    key = settings_key(walk.item.settings, walk.item.digest if walk.has_other_text else "")
    walk.item = storing.open_document(walk.item, settings_key=key, **place)


def _settle(walk: Walk) -> bool:
    """Do the nodes that take no more than storing; return whether the document existed already."""
    is_duplicate = False
    while (task := walk.next_stored()) is not None:
        walk.node_id, began = task.node.id, time.perf_counter()
        if task.node.type == "load":
            is_duplicate = walk.item.document.status is DocumentStatus.COMPLETED
            if not is_duplicate:
                if metadata := task.node.config.get("metadata"):
                    reading = walk.reading()
                    values = {name: reading.evaluate(value) for name, value in metadata.items()}
                    storing.store_metadata(walk.item, values)
                storing.complete(walk.item)
        walk.end(task, {})
        walk.add_seconds(task, time.perf_counter() - began)
    return is_duplicate


def _save(plan: RunPlan, entity: RunEntity, walk: Walk, *, is_duplicate: bool) -> StoredBatch:
    """Store the states of the entity's nodes and its item; it is completed if no node is left."""
    nodes, outputs, item = walk.nodes_to_store(), walk.outputs_to_store(), walk.item
    has_ended = walk.planner.is_ended
    columns: dict[str, Any] = {**asdict(item.state), "nodes": nodes}
    if has_ended:
        outputs = {}
    if outputs != entity.outputs:
        columns["outputs"] = repository.ready_outputs(plan, entity.id, outputs)
    store = repository.complete if has_ended else repository.change
    if is_duplicate:
        columns["is_duplicate"] = True
    store(plan, entity.id, **columns)
    item = replace(item, settings=settings_in(plan.graph, nodes))
    entity = replace(entity, progress=item.state, nodes=nodes, outputs=outputs)
    return StoredBatch(entity, item, has_ended=has_ended)


def _note(
    plan: RunPlan, result: EntityResult, error: BaseException, nodes: Mapping[str, Any], outputs: Mapping[str, Any]
) -> StoredBatch:
    """Store an error with its entity, which is retried unless the error is permanent or the attempt the last."""
    entity, code = result.entity, code_of(error)
    is_final = isinstance(error, PermanentError) or entity.attempt >= MAX_ATTEMPTS
    changes: dict[str, Any] = {}
    if code in _LOST:
        changes = {"passages_key": "", "passages_sha256": ""}
        if entity.source["type"] != "file":
            changes |= {"content_key": "", "content_sha256": ""}
    columns: dict[str, Any] = {**changes, "nodes": nodes}
    if outputs != entity.outputs:
        columns["outputs"] = repository.ready_outputs(plan, entity.id, outputs)
    try:
        with transaction.atomic():
            repository.fail(plan, entity.id, code=code, message=str(error), is_final=is_final, **columns)
    except EntityGoneError as gone:
        return StoredBatch(entity, result.walk.item, has_ended=True, error=gone)
    entity = replace(entity, state=EntityState.WAITING, progress=replace(entity.progress, **changes))
    entity = replace(entity, nodes=nodes, outputs=outputs)
    return StoredBatch(entity, repository.item_of(plan, entity), has_ended=is_final, error=error)


def code_of(error: BaseException) -> str:
    """Return the code of an error, or the name of its class."""
    return str(getattr(error, "code", type(error).__name__))
