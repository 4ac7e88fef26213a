"""Models of datasets, their documents, and the documents' chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Cast, Coalesce, Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop
from pgvector.django import VectorField

from tenants.encryption.error_texts import SealedErrorField
from tenants.tenancy.bases import NamedModel, TenantModel
from tenants.tenancy.regions import MOST_REGIONS, REGION, REGION_LENGTH
from workloads.documents.blocks import MAX_WARNING_CHARACTERS, MAX_WARNINGS
from workloads.documents.embedding import DIMENSIONS, current_model_name
from workloads.documents.splitting import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    MAX_CHUNK_SIZE,
    MIN_CHUNK_SIZE,
    SplitSettings,
)

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


class Dataset(NamedModel, TenantModel):
    """A set of documents that are searched together, with common settings for splitting and one embedding model."""

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=1_000, blank=True)
    chunk_size = models.PositiveSmallIntegerField(
        _("chunk size"),
        default=DEFAULT_CHUNK_SIZE,
        validators=[MinValueValidator(MIN_CHUNK_SIZE), MaxValueValidator(MAX_CHUNK_SIZE)],
        help_text=_("Maximum tokens of a chunk; a token is about four letters or one and a half Chinese characters."),
    )
    chunk_overlap = models.PositiveSmallIntegerField(
        _("chunk overlap"),
        default=DEFAULT_OVERLAP,
        help_text=_("Tokens that a chunk repeats from the previous one; at most half of a chunk."),
    )
    home_region = models.CharField(
        _("home region"),
        max_length=REGION_LENGTH,
        validators=[REGION],
        blank=True,
        default="",
        db_default="",
        help_text=_("Region to which routing rules send jobs about it first; empty: that of the tenant."),
    )
    allowed_regions = ArrayField(
        models.CharField(max_length=REGION_LENGTH, validators=[REGION]),
        verbose_name=_("allowed regions"),
        size=MOST_REGIONS,
        default=list,
        db_default=[],
        blank=True,
        help_text=_(
            "The only regions that run jobs about it, the nearest first, separated by commas; empty: its tenant's."
        ),
    )
    text_weight = models.FloatField(
        _("weight of words"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_(
            "Of the mode hybrid, 0 to 1; the rest is the weight of vectors. Empty: by how rare the query's words are."
        ),
    )
    min_score = models.FloatField(
        _("least score"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=_("Chunks with a lower score are not found, 0 to 1. Empty: all are."),
    )
    embedding_model = models.CharField(_("embedding model"), max_length=100, default=current_model_name, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "name"}

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="dataset_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="dataset_name_unique"),
            models.CheckConstraint(
                condition=models.Q(chunk_size__range=(MIN_CHUNK_SIZE, MAX_CHUNK_SIZE)), name="dataset_chunk_size"
            ),
            models.CheckConstraint(
                condition=models.Q(chunk_overlap__lte=models.F("chunk_size") / 2), name="dataset_chunk_overlap"
            ),
        ]

    @property
    def split_settings(self) -> SplitSettings:
        """Return the settings with which the dataset's documents are split."""
        return SplitSettings(chunk_size=self.chunk_size, overlap=self.chunk_overlap)

    @property
    def settings_key(self) -> str:
        """Return a key of the settings. If the keys of two indexings are equal, equal content gives equal chunks."""
        text = f"{self.chunk_size}:{self.chunk_overlap}:{self.embedding_model}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Document(TenantModel):
    """One file, text or page of a dataset, and the progress of its indexing.

    ``status`` is what its job wrote last; whether the job is cancelled, suspended or dead is read from the job.
    ``passages_digest`` and ``chunks_done`` say where an interrupted indexing resumes. ``kept_chunks`` counts the chunks
    of an earlier indexing that serve searches until the current one is complete; if it is 0, new chunks serve searches
    as soon as they are stored. ``served_model`` is the model that made the vectors which serve searches. A document
    with a ``source_url`` has no content until its job has fetched it. ``encoding``, ``pages``, ``pages_without_text``
    and ``warnings`` are what extraction found out; ``given_encoding`` is that of a file of text, if it is not detected.
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
    served_model = models.CharField(_("served model"), max_length=100, blank=True, db_default="")
    source_url = models.CharField(_("source url"), max_length=MAX_URL_LENGTH, blank=True, db_default="")
    is_fetch_due = models.BooleanField(_("is fetch due"), db_default=False)
    is_pause_asked = models.BooleanField(_("is pause asked"), db_default=False)
    given_encoding = models.CharField(_("given encoding"), max_length=MAX_ENCODING_LENGTH, blank=True, db_default="")
    encoding = models.CharField(_("encoding"), max_length=MAX_ENCODING_LENGTH, blank=True, db_default="")
    pages = models.PositiveIntegerField(_("pages"), null=True, blank=True)
    pages_without_text = models.PositiveIntegerField(_("pages without text"), db_default=0)
    warnings = ArrayField(
        models.CharField(max_length=MAX_WARNING_CHARACTERS),
        verbose_name=_("warnings"),
        size=MAX_WARNINGS,
        default=list,
        db_default=[],
        blank=True,
    )
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
        ]

    def __str__(self) -> str:
        return self.name


# The order of a document's chunks; unique among those that are served.
ORDER = Coalesce("place", Cast("position", models.FloatField()))
# Chunks that a person has changed.
CHANGED = models.Q(is_edited=True) | models.Q(is_enabled=False)


class ChunkChange(models.TextChoices):
    """The changes that replace the text of a chunk."""

    EDITED = "edited", _("Edited")
    SPLIT = "split", _("Split")
    MERGED = "merged", _("Merged")
    RESTORED = "restored", _("Restored")


class Chunk(TenantModel):
    """A passage of a document, with its vector and its search terms.

    A chunk with ``is_served`` False waits for the rest of its document, whose earlier chunks serve searches until then.
    One that was added by hand has the position of the chunk before it, and a ``place`` between the two around it. No
    search finds a chunk with ``is_enabled`` False. ``vector_digest`` is None until the vector is that of the text.
    """

    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    document = models.ForeignKey(
        Document, models.CASCADE, verbose_name=_("document"), db_constraint=False, db_index=False, related_name="chunks"
    )
    position = models.PositiveIntegerField(_("position"))
    text = models.TextField(_("text"))
    location = models.JSONField(_("location"), default=dict)
    embedding = VectorField(verbose_name=_("embedding"), dimensions=DIMENSIONS)
    search = SearchVectorField(verbose_name=_("search"))
    is_served = models.BooleanField(_("is served"), db_default=True)
    # Of the text and the model that made the vector; equal for equal vectors of a tenant.
    vector_digest = models.UUIDField(_("vector digest"), null=True, blank=True)
    place = models.FloatField(_("place"), null=True, editable=False)
    is_enabled = models.BooleanField(_("is searched"), db_default=True, default=True)
    is_edited = models.BooleanField(_("is edited"), db_default=False, default=False)
    version = models.PositiveIntegerField(_("version"), db_default=1, default=1, editable=False)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("chunk")
        verbose_name_plural = _("chunks")
        constraints = [models.UniqueConstraint("tenant", "document", "is_served", ORDER, name="chunk_order_unique")]
        indexes = [
            models.Index(fields=["tenant", "dataset", "is_served", "id"], name="chunk_of_dataset"),
            models.Index(fields=["tenant", "dataset", "document"], condition=CHANGED, name="chunk_changed"),
            models.Index(fields=["tenant", "vector_digest"], name="chunk_vector"),
        ]

    def __str__(self) -> str:
        return f"{self.document_id}#{self.position}"


class ChunkVersion(TenantModel):
    """The text that a chunk had before a change, with who changed it and when. It ends with its chunk."""

    document = models.ForeignKey(
        Document, models.CASCADE, verbose_name=_("document"), db_constraint=False, db_index=False, related_name="+"
    )
    chunk_id = models.UUIDField(_("chunk id"))
    number = models.PositiveIntegerField(_("number"))
    text = models.TextField(_("text"))
    change = models.CharField(_("change"), max_length=10, choices=ChunkChange)
    replaced_by = models.CharField(_("replaced by"), max_length=200)
    replaced_at = models.DateTimeField(_("replaced at"), db_default=Now(), editable=False)

    class Meta:
        verbose_name = _("chunk version")
        verbose_name_plural = _("chunk versions")
        constraints = [models.UniqueConstraint(fields=["tenant", "chunk_id", "number"], name="chunk_version_unique")]
        indexes = [models.Index(fields=["tenant", "document"], name="chunk_version_document")]

    def __str__(self) -> str:
        return f"{self.chunk_id}@{self.number}"


# Columns that refer to stored files.
FILE_REFERENCES = ((Document, "storage_key"),)
