"""A distinct word in everything that a tenant has, which shows to which tenant an answer belongs."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.contrib.postgres.search import SearchVectorField
from django.db.models import Value
from django.db.models.functions import Cast
from django.utils import timezone

from scheduling.execution.logs.lines import make_line
from scheduling.execution.logs.service import LogWrite, append_job_logs
from scheduling.models import (
    Batch,
    Circuit,
    DeadLetter,
    Execution,
    Job,
    JobError,
    JobEvent,
    Schedule,
    ScheduleFire,
)
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.encryption.fields import SealedField
from tenants.models import ApiKey, AuditLogEntry, Membership, Tenant, TenantLimit
from workloads.documents.models import Chunk, Dataset, Document
from workloads.documents.terms import to_tsvector
from workloads.files.models import Artifact, UploadedFile
from workloads.pipelines.models import Pipeline, PipelineEntity, PipelineRun

WORDS = {"acme": "Aardvark7f3a", "globex": "Gyrfalcon9c1e"}
# Tables whose existing rows take the word in these columns.
_TEXTS: dict[Any, tuple[str, ...]] = {
    Job: ("error_message", "progress_message", "fair_key"),
    Execution: ("error_message", "traceback"),
    DeadLetter: ("error_message",),
    JobError: ("error_message",),
    Circuit: ("error_message",),
    Batch: ("label",),
    Schedule: ("name", "pause_reason", "fair_key"),
    Dataset: ("name", "description"),
    Document: ("name", "error_message"),
    UploadedFile: ("name",),
    Artifact: ("name",),
    Pipeline: ("name", "description"),
    PipelineRun: ("error_message",),
    PipelineEntity: ("name", "error_message"),
    ApiKey: ("name",),
}


def plant(tenant: Tenant) -> None:
    """Put the tenant's word into names, payloads, results, errors, logs, reasons and texts."""
    word = WORDS[tenant.slug]
    with all_tenants():
        for model, columns in _TEXTS.items():
            rows = model._base_manager.filter(tenant=tenant)
            assert rows, model
            for row in rows:
                rows.filter(pk=row.pk).update(**{column: _written(row, column, word) for column in columns})
        document = {"word": word}
        # Saved row by row, because the values may be sealed.
        for job in Job.objects.filter(tenant=tenant):
            job.payload = job.result = job.checkpoint = document
            job.tags = [word]
            job.save(update_fields=["payload", "result", "checkpoint", "tags"])
        for schedule in Schedule.objects.filter(tenant=tenant):
            schedule.payload, schedule.tags = document, [word]
            schedule.save(update_fields=["payload", "tags"])
        Tenant.objects.filter(pk=tenant.pk).update(name=word)
        for member in Membership.objects.filter(tenant=tenant).select_related("user"):
            User.objects.filter(pk=member.user_id).update(username=f"{member.user.username}-{word}")
    _add_rows(tenant, word)


def _written(row: Any, column: str, word: str) -> Any:
    """Return the word as it is written into the column of the row: encrypted if the column is."""
    field = row._meta.get_field(column)
    if isinstance(field, SealedField):
        return field.ready(word, tenant_id=row.tenant_id, row_id=field.id_of(row))
    return word


def _add_rows(tenant: Tenant, word: str) -> None:
    """Add rows to the append-only tables."""
    now = timezone.now()
    with all_tenants():
        job = Job.objects.filter(tenant=tenant, state="discarded").get()
        AuditLogEntry.objects.create(
            tenant=tenant,
            actor_kind="user",
            actor_label=word,
            action="x",
            target_type="x",
            reason=word,
            after={"a": word},
        )
        JobEvent.objects.create(
            tenant=tenant, job_id=job.pk, at=now, name="job.x", state="discarded", actor=word, data={"reason": word}
        )
        TenantLimit.objects.create(tenant=tenant, key="max_waiting_jobs", value=7_000, reason=word)
        schedule = Schedule.objects.filter(tenant=tenant).get()
        ScheduleFire.objects.create(
            tenant=tenant,
            schedule=schedule,
            fire_time=now,
            fired_at=now,
            trigger="cron",
            outcome="refused",
            reason=word,
        )
        document = Document.objects.filter(tenant=tenant).get()
        Chunk.objects.create(
            tenant=tenant,
            dataset_id=document.dataset_id,
            document=document,
            position=0,
            text=word,
            embedding=[1.0] + [0.0] * 511,
            search=Cast(Value(to_tsvector(word)), SearchVectorField()),
        )
    append_job_logs([LogWrite(tenant.pk, job.pk, uuid7(), attempt=1, lines=[make_line(word, "error", {"word": word})])])


def ids_of(tenant: Tenant) -> set[str]:
    """Return the ids of the tenant's rows that answers contain."""
    models = (
        Job,
        Execution,
        DeadLetter,
        Batch,
        Schedule,
        Dataset,
        Document,
        UploadedFile,
        Artifact,
        ApiKey,
        Membership,
        AuditLogEntry,
    )
    with all_tenants():
        return {
            str(key)
            for model in models
            for key in model._base_manager.filter(tenant=tenant).values_list("pk", flat=True)
        }
