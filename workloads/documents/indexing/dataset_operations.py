"""Operations over all documents of a dataset, of any number: one job each, which takes a batch of documents at a time.

The job has progress and is cancelled and retried like any other. A dataset has one operation at a time; searches go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.database.reads import first_or_raise
from tenants.exceptions import FieldInvalidError
from tenants.holds.service import refuse_if_held
from tenants.models import Tenant
from workloads.documents.exceptions import DatasetArchivedError, DatasetNotFoundError
from workloads.documents.indexing.reindexing import count_lost, find_renewable, renew_documents
from workloads.documents.indexing.service import remove_documents
from workloads.documents.models import Dataset, DatasetState, Document
from workloads.documents.queries import lock_dataset
from workloads.documents.service import delete_dataset

KIND = "dataset_operation"
# Documents that one request may name.
MAX_NAMED = 1_000


class Operation(StrEnum):
    """What a job does with the documents of a dataset."""

    DELETE = "delete"
    REINDEX = "reindex"
    DISABLE = "disable"
    ENABLE = "enable"


OPERATIONS = tuple(operation.value for operation in Operation)
_ACTIONS = {
    Operation.DELETE: "dataset.deletion_started",
    Operation.REINDEX: "dataset.reindexed",
    Operation.DISABLE: "dataset.documents_disabled",
    Operation.ENABLE: "dataset.documents_enabled",
}


@dataclass(frozen=True, slots=True)
class StartedOperation:
    """The job of an operation, and the documents that it was started for."""

    operation: Operation
    job_id: UUID
    documents: int


def delete_with_documents(
    *, tenant: Tenant, dataset_id: UUID, is_rate_limited: bool = False, reason: str = ""
) -> StartedOperation:
    """Delete a dataset with all documents: no search finds them from the commit on, a job removes the rows.

    Its name is free when the job has ended. Until then `unarchive_dataset` keeps what is left. After a cancelled job
    another call deletes the rest. Raise `LegalHoldError`, `DatasetNotFoundError`, or the errors of `submit_job`.
    """
    with tenant_context(tenant):
        refuse_if_held(tenant.pk)
        dataset = lock_dataset(dataset_id, takes_documents=False, is_kept=False)
        dataset.state = DatasetState.DELETING
        dataset.save(update_fields=["state"])
        return _start(tenant, dataset, Operation.DELETE, {}, is_rate_limited=is_rate_limited, reason=reason)


def reindex_dataset(
    *,
    tenant: Tenant,
    dataset_id: UUID,
    everything: bool = False,
    discard_edits: bool = False,
    is_rate_limited: bool = False,
    reason: str = "",
) -> StartedOperation:
    """Re-index the documents of a dataset that `find_renewable` finds, each by a job of its own.

    Raise `EditsWouldBeLostError`, `DatasetArchivedError`, `DatasetNotFoundError`, or the errors of `submit_job`.
    """
    with tenant_context(tenant):
        dataset = lock_dataset(dataset_id)
        renewable = find_renewable(dataset, everything=everything)
        lost = count_lost(renewable, dataset, discard_edits=discard_edits)
        options = {"everything": everything, "discard_edits": discard_edits}
        return _start(
            tenant,
            dataset,
            Operation.REINDEX,
            options,
            is_rate_limited=is_rate_limited,
            reason=reason,
            edits_discarded=lost,
        )


def enable_documents(
    *,
    tenant: Tenant,
    dataset_id: UUID,
    is_enabled: bool,
    documents: Sequence[UUID] | None = None,
    is_rate_limited: bool = False,
    reason: str = "",
) -> StartedOperation:
    """Let searches find the named documents of a dataset, or all (None), or let them not. All keep their chunks.

    Raise `FieldInvalidError` for documents that the dataset lacks, `DatasetNotFoundError`, or the errors of
    `submit_job`.
    """
    with tenant_context(tenant):
        dataset = lock_dataset(dataset_id, takes_documents=False)
        options: dict[str, Any] = {}
        if documents is not None:
            known = set(Document.objects.filter(dataset=dataset, pk__in=documents).values_list("pk", flat=True))
            if missing := set(documents) - known:
                detail = gettext("The dataset has no document %(name)r.") % {"name": str(min(missing))}
                raise FieldInvalidError.at("documents", detail)
            options["documents"] = sorted(str(document) for document in known)
        operation = Operation.ENABLE if is_enabled else Operation.DISABLE
        return _start(tenant, dataset, operation, options, is_rate_limited=is_rate_limited, reason=reason)


def open_dataset(payload: Mapping[str, Any], *, locks: bool = False) -> Dataset:
    """Return the dataset of the operation of a job's payload; with ``locks``, locked until the transaction ends.

    Raise `DatasetNotFoundError` if it is gone, or if its deletion began or was withdrawn after the operation was
    started, and `DatasetArchivedError` if it must not be re-indexed any more.
    """
    operation, rows = payload["operation"], Dataset.objects.filter(pk=payload["dataset_id"])
    if operation == Operation.DELETE:
        rows = Dataset.every.filter(pk=payload["dataset_id"], state=DatasetState.DELETING)
    dataset = first_or_raise(rows.select_for_update(no_key=True) if locks else rows, DatasetNotFoundError)
    if operation == Operation.REINDEX and dataset.state == DatasetState.ARCHIVED:
        raise DatasetArchivedError
    return dataset


def find_targets(dataset: Dataset, payload: Mapping[str, Any]) -> QuerySet[Document]:
    """Return the documents of the dataset that the operation of a job's payload has left to do."""
    match operation := Operation(payload["operation"]):
        case Operation.DELETE:
            targets: QuerySet[Document] = Document.objects.filter(dataset=dataset)
        case Operation.REINDEX:
            targets = find_renewable(dataset, everything=payload["everything"])
        case _:
            targets = Document.objects.filter(dataset=dataset, is_enabled=operation is Operation.DISABLE)
            if "documents" in payload:
                targets = targets.filter(pk__in=payload["documents"])
    return targets


def apply(tenant_id: UUID, payload: Mapping[str, Any], found: Mapping[UUID, UUID]) -> int:
    """Do the operation of a payload with these documents, given with their jobs; return the number of changed ones.

    It runs in the current transaction, in the tenant's scope. A document that was changed meanwhile may be left out.
    Raise `LegalHoldError`, or as `open_dataset` and `renew_documents` do.
    """
    dataset = open_dataset(payload, locks=True)
    match operation := Operation(payload["operation"]):
        case Operation.DELETE:
            refuse_if_held(tenant_id)
            return remove_documents(list(found), reason="Its dataset was deleted.")
        case Operation.REINDEX:
            tenant = Tenant.objects.select_related("plan").get(pk=tenant_id)
            return renew_documents(tenant=tenant, dataset=dataset, found=found, discard_edits=payload["discard_edits"])
    rows = Document.objects.filter(pk__in=found).order_by("pk")
    locked = [row.pk for row in rows.select_for_update(no_key=True).only("pk")]
    return int(Document.objects.filter(pk__in=locked).update(is_enabled=operation is Operation.ENABLE))


def finish_deletion(payload: Mapping[str, Any]) -> None:
    """Delete the row of a dataset whose documents are deleted; raise as `open_dataset` and `delete_dataset` do."""
    delete_dataset(dataset_id=open_dataset(payload, locks=True).pk)


def _start(
    tenant: Tenant,
    dataset: Dataset,
    operation: Operation,
    options: Mapping[str, Any],
    *,
    is_rate_limited: bool,
    reason: str,
    **facts: int,
) -> StartedOperation:
    """Submit the job of an operation; its audit entry has the facts. Return it."""
    payload: dict[str, Any] = {"dataset_id": str(dataset.pk), "operation": operation.value, **options}
    total = payload["total"] = find_targets(dataset, payload).order_by().count()
    key = str(dataset.pk)
    request = JobRequest(kind=KIND, payload=payload, subject=dataset.pk, is_internal=True, concurrency_key=key)
    with suppress_nested_entries():
        job_id = submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job.pk
    after = {"job": str(job_id), "documents": total, **facts}
    record_audit(action=_ACTIONS[operation], target=dataset, after=after, reason=reason)
    return StartedOperation(operation, job_id, total)
