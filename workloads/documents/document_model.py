"""The model of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from tenants.encryption.error_texts import SealedErrorField
from tenants.tenancy.bases import TenantModel
from workloads.documents.blocks import MAX_WARNING_CHARACTERS, MAX_WARNINGS
from workloads.documents.dataset_model import Dataset

MAX_ENCODING_LENGTH = 40
# A unique index holds it beside two ids.
MAX_URL_LENGTH = 2_000


class DocumentStatus(models.TextChoices):
    """The phase that a document is in, in the order of the phases."""

    WAITING = gettext_noop("waiting"), _("Waiting")
    PARSING = gettext_noop("parsing"), _("Parsing")
    CLEANING = gettext_noop("cleaning"), _("Cleaning")
    SPLITTING = gettext_noop("splitting"), _("Splitting")
    INDEXING = gettext_noop("indexing"), _("Indexing")
    COMPLETED = gettext_noop("completed"), _("Completed")
    ERROR = gettext_noop("error"), _("Error")


class Document(TenantModel):
    """One file, text or page of a dataset, and the progress of its indexing.

    ``status`` is what its job wrote last; whether the job is cancelled, suspended or dead is read from the job.
    ``passages_digest`` and ``chunks_done`` say where an interrupted indexing resumes. ``kept_chunks`` counts the chunks
    of an earlier indexing that serve searches until the current one is complete; if it is 0, new chunks serve searches
    as soon as they are stored. No search finds a document with ``is_enabled`` False. A document with a ``source_url``
    has no content until its job has fetched it.
    ``encoding``, ``pages``, ``pages_without_text``, ``pages_recognized`` and ``warnings`` are what extraction found
    out; ``given_encoding`` is that of a file of text, if it is not detected. ``metadata`` has the values of the
    dataset's fields; `index_values` keeps their index. ``summary`` is what the dataset's summary model has returned;
    ``summary_key`` is equal for equal requests to it.
    """

    # Rows refer to each other by (tenant, id); the constraints are in the migration.
    dataset = models.ForeignKey(
        Dataset,
        models.CASCADE,
        verbose_name=_("dataset"),
        db_constraint=False,
        db_index=False,
        related_name="documents",
    )
    name = models.CharField(_("name"), max_length=255)
    content_type = models.CharField(_("content type"), max_length=100)
    size_bytes = models.PositiveBigIntegerField(_("size bytes"))
    sha256 = models.CharField(_("sha256"), max_length=64)
    settings_key = models.CharField(_("settings key"), max_length=16)
    storage_key = models.CharField(_("storage key"), max_length=200)
    status = models.CharField(_("status"), max_length=10, choices=DocumentStatus, default=DocumentStatus.WAITING)
    chunks_done = models.PositiveIntegerField(_("chunks done"), default=0)
    chunks_total = models.PositiveIntegerField(_("chunks total"), null=True, blank=True)
    passages_digest = models.CharField(_("passages digest"), max_length=64, blank=True)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_message = SealedErrorField(_("error message"), max_length=1_000, blank=True)
    kept_chunks = models.PositiveIntegerField(_("kept chunks"), db_default=0)
    source_url = models.CharField(_("source url"), max_length=MAX_URL_LENGTH, blank=True, db_default="")
    is_fetch_due = models.BooleanField(_("is fetch due"), db_default=False)
    is_pause_asked = models.BooleanField(_("is pause asked"), db_default=False)
    is_enabled = models.BooleanField(_("is searched"), db_default=True, default=True)
    given_encoding = models.CharField(_("given encoding"), max_length=MAX_ENCODING_LENGTH, blank=True, db_default="")
    encoding = models.CharField(_("encoding"), max_length=MAX_ENCODING_LENGTH, blank=True, db_default="")
    pages = models.PositiveIntegerField(_("pages"), null=True, blank=True)
    pages_without_text = models.PositiveIntegerField(_("pages without text"), db_default=0)
    pages_recognized = models.PositiveIntegerField(_("recognised pages"), db_default=0)
    warnings = ArrayField(
        models.CharField(max_length=MAX_WARNING_CHARACTERS),
        verbose_name=_("warnings"),
        size=MAX_WARNINGS,
        default=list,
        db_default=[],
        blank=True,
    )
    metadata = models.JSONField(_("metadata"), default=dict, db_default={}, blank=True)
    summary = models.TextField(_("summary"), blank=True, db_default="")
    summary_key = models.CharField(_("summary key"), max_length=64, blank=True, db_default="")
    job_id = models.UUIDField(_("job id"))
    batch_id = models.UUIDField(_("batch id"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    parsing_at = models.DateTimeField(_("parsing at"), null=True, blank=True)
    cleaning_at = models.DateTimeField(_("cleaning at"), null=True, blank=True)
    splitting_at = models.DateTimeField(_("splitting at"), null=True, blank=True)
    indexing_at = models.DateTimeField(_("indexing at"), null=True, blank=True)
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)
    error_at = models.DateTimeField(_("error at"), null=True, blank=True)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="document_tenant_id"),
            models.UniqueConstraint(
                fields=["tenant", "dataset", "sha256", "settings_key"],
                condition=models.Q(source_url=""),
                name="document_file_unique",
            ),
            models.UniqueConstraint(
                fields=["tenant", "dataset", "source_url"],
                condition=~models.Q(source_url=""),
                name="document_url_unique",
            ),
            models.CheckConstraint(condition=models.Q(status__in=DocumentStatus.values), name="document_status_known"),
        ]
        indexes = [
            models.Index(fields=["tenant", "batch_id"], name="document_batch"),
            models.Index(fields=["tenant", "storage_key"], name="document_file"),
            models.Index(fields=["tenant", "dataset"], condition=models.Q(is_enabled=False), name="document_disabled"),
        ]

    def __str__(self) -> str:
        return self.name
