"""Service that re-embeds a dataset by another model. Each change is one transaction with its audit entry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from tenants.audit.service import record_audit, suppress_nested_entries
from tenants.context import tenant_context
from tenants.models import Tenant
from workloads.documents.exceptions import ReembeddingError
from workloads.documents.models import Dataset
from workloads.documents.queries import lock_dataset
from workloads.documents.reembedding import repository
from workloads.documents.reembedding.processor import DatasetEmbedding
from workloads.documents.service import check_model

# About the mean of texts in any language: four letters, or one and a half Chinese characters of three bytes.
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class ReembeddingPlan:
    """What the re-embedding of a dataset by a model costs, and how far it has come.

    ``estimated_price`` is None if the model has no price. ``next_model`` is empty unless a re-embedding has begun.
    """

    embedding_model: str
    next_model: str
    model: str
    chunks: int
    chunks_done: int
    estimated_tokens: int
    estimated_price: float | None
    job: UUID | None


def plan_reembedding(dataset: Dataset, model: str) -> ReembeddingPlan:
    """Return what re-embedding costs, and its progress. Raise `FieldInvalidError` for an unknown model."""
    chosen = check_model(dataset.tenant_id, model, field="model")
    size = repository.measure(dataset)
    tokens = -(-int(size.bytes) // _BYTES_PER_TOKEN)
    is_begun = dataset.next_model == model and not dataset.is_moving
    return ReembeddingPlan(
        embedding_model=dataset.embedding_model,
        next_model=dataset.next_model,
        model=model,
        chunks=size.chunks,
        chunks_done=size.done if is_begun else size.chunks if dataset.embedding_model == model else 0,
        estimated_tokens=tokens,
        estimated_price=None if chosen.price is None else round(tokens * chosen.price / 1_000_000, 4),
        job=dataset.embedding_job_id,
    )


def reembed_dataset(
    *, tenant: Tenant, dataset: Dataset, model: str, is_rate_limited: bool = False, reason: str = ""
) -> Dataset:
    """Submit a job that embeds all chunks of a dataset by another model; return the dataset.

    The old vectors serve until every chunk has its new one. A re-embedding by the same model that was interrupted
    continues; the model in use gives up one that has begun. Raise `FieldInvalidError` for an unknown model,
    `ReembeddingError`, or the errors of `submit_job`.
    """
    check_model(tenant.pk, model, field="model")
    with tenant_context(tenant):
        dataset = lock_dataset(dataset.pk)
        before = {"embedding_model": dataset.embedding_model, "next_model": dataset.next_model}
        if not dataset.next_model and model == dataset.embedding_model:
            raise ReembeddingError("The dataset is embedded by %(model)s already.", {"model": model})
        if dataset.is_moving and model != dataset.embedding_model:
            raise ReembeddingError(
                "The vectors of %(model)s are still moved to their chunks. Try again when the job has ended.",
                {"model": dataset.embedding_model},
            )
        if not dataset.is_moving and dataset.next_model != model:
            repository.forget_next(dataset)
            dataset.next_model = "" if model == dataset.embedding_model else model
        if dataset.next_model:
            dataset.embedding_job_id = _submit(tenant, dataset, is_rate_limited=is_rate_limited)
        dataset.save(update_fields=["next_model", "embedding_job_id"])
        after = {"embedding_model": dataset.embedding_model, "next_model": dataset.next_model}
        record_audit(action="dataset.reembedded", target=dataset, before=before, after=after, reason=reason)
    return dataset


def _submit(tenant: Tenant, dataset: Dataset, *, is_rate_limited: bool) -> UUID:
    """Submit the job; while one for the same dataset and model has not ended, return that."""
    key = hashlib.sha256(f"{dataset.pk}:{dataset.next_model}".encode()).hexdigest()
    request = JobRequest(
        kind=DatasetEmbedding.kind,
        payload={"dataset_id": str(dataset.pk), "model": dataset.next_model},
        subject=dataset.pk,
        unique_key=key,
        is_internal=True,
    )
    with suppress_nested_entries():
        return submit_job(tenant=tenant, request=request, is_rate_limited=is_rate_limited).job.pk
