"""The model of datasets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import NamedModel, TenantManager, TenantModel
from tenants.tenancy.regions import MOST_REGIONS, REGION, REGION_LENGTH
from workloads.documents.extraction.limits import MAX_OCR_PAGES
from workloads.documents.metadata import FieldType, fields_of
from workloads.documents.platform_settings import LOCAL_MODEL_NAME, MAX_MODEL_NAME_LENGTH
from workloads.documents.split_settings import (
    DEFAULT_CHUNK_SIZE,
    DEFAULT_OVERLAP,
    DEFAULT_PARENT_SIZE,
    MAX_CHUNK_SIZE,
    MAX_CHUNK_SIZES,
    MAX_PARENT_SIZE,
    MIN_CHUNK_SIZE,
    Chunking,
    SizeUnit,
    SplitSettings,
)

# Stored keys end with the model's name, which decides no chunk: another ending would outdate each document.
KEY_ENDING = LOCAL_MODEL_NAME


class DatasetState(models.TextChoices):
    """What a dataset takes: documents, only searches, or nothing, because a job removes it."""

    ACTIVE = "active", _("Active")
    ARCHIVED = "archived", _("Archived")
    DELETING = "deleting", _("Being deleted")


class DatasetManager(TenantManager["Dataset"]):
    """Manager of the datasets that exist for their tenant: not of those that a job removes."""

    def get_queryset(self) -> models.QuerySet[Dataset]:
        return super().get_queryset().exclude(state=DatasetState.DELETING)


class Dataset(NamedModel, TenantModel):
    """A set of documents that are searched together, with common settings for splitting and one embedding model.

    ``embedding_model`` made the vectors that serve searches. ``next_model`` is empty unless the dataset is re-embedded:
    it is the model whose vectors collect in `NextVector`, and equals ``embedding_model`` while they are moved.
    ``objects`` leaves out those that are being deleted, ``every`` does not.
    """

    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=1_000, blank=True)
    chunking = models.CharField(
        _("chunking"),
        max_length=12,
        choices=Chunking,
        default=Chunking.STRUCTURE,
        db_default=Chunking.STRUCTURE,
        help_text=_("Where chunks begin and end. Chunks over the size are cut in any case."),
    )
    size_unit = models.CharField(
        _("unit of sizes"),
        max_length=10,
        choices=SizeUnit,
        default=SizeUnit.TOKENS,
        db_default=SizeUnit.TOKENS,
        help_text=_("A token is about four letters or one and a half Chinese characters."),
    )
    chunk_size = models.PositiveSmallIntegerField(
        _("chunk size"),
        default=DEFAULT_CHUNK_SIZE,
        help_text=_("Maximum of a chunk: 20 to 1,000 tokens, or 20 to 4,000 characters."),
    )
    chunk_overlap = models.PositiveSmallIntegerField(
        _("chunk overlap"),
        default=DEFAULT_OVERLAP,
        help_text=_("How much a chunk repeats from the previous one; at most half of a chunk."),
    )
    parent_size = models.PositiveSmallIntegerField(
        _("parent size"),
        default=DEFAULT_PARENT_SIZE,
        db_default=DEFAULT_PARENT_SIZE,
        help_text=_("Of parent and child only: maximum of the passage around a chunk that searches return."),
    )
    max_ocr_pages = models.PositiveSmallIntegerField(
        _("pages with text recognition"),
        default=0,
        db_default=0,
        validators=[MaxValueValidator(MAX_OCR_PAGES)],
        help_text=_("Of each PDF file, the pages without text whose pictures are read, up to 200; 0: none."),
    )
    reads_comments = models.BooleanField(
        _("read comments"),
        default=False,
        db_default=False,
        help_text=_("Comments of Word documents belong to the text, with the names of their authors."),
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
    metadata_fields = models.JSONField(
        _("metadata fields"),
        default=list,
        db_default=[],
        blank=True,
        help_text=_(
            'What documents can have values of, for filters: a list of up to 20 objects such as {"name": "year", '
            '"type": "number"}; other types are “text”, “date”, “boolean” and “texts”.'
        ),
    )
    is_reranked = models.BooleanField(
        _("re-rank results"),
        default=False,
        db_default=False,
        help_text=_("Searches let the platform's re-ranking endpoint, if there is one, re-order their best results."),
    )
    summary_model = models.CharField(
        _("summary model"),
        max_length=MAX_MODEL_NAME_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text=_("Chat model that adds a chunk with a summary to each document, as “endpoint/model”; empty: none."),
    )
    embedding_model = models.CharField(_("embedding model"), max_length=MAX_MODEL_NAME_LENGTH)
    next_model = models.CharField(
        _("next embedding model"), max_length=MAX_MODEL_NAME_LENGTH, blank=True, db_default="", editable=False
    )
    embedding_job_id = models.UUIDField(_("embedding job id"), null=True, editable=False)
    state = models.CharField(
        _("state"),
        max_length=10,
        choices=DatasetState,
        default=DatasetState.ACTIVE,
        db_default="active",
        editable=False,
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    objects: ClassVar[TenantManager[Dataset]] = DatasetManager()
    every = TenantManager["Dataset"]()

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "name"}

    class Meta:
        verbose_name = _("dataset")
        verbose_name_plural = _("datasets")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="dataset_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="dataset_name_unique"),
            models.CheckConstraint(condition=models.Q(state__in=DatasetState.values), name="dataset_state_known"),
            models.CheckConstraint(
                condition=models.Q(
                    models.Q(size_unit=SizeUnit.CHARACTERS)
                    | models.Q(chunk_size__lte=MAX_CHUNK_SIZES[SizeUnit.TOKENS]),
                    chunk_size__range=(MIN_CHUNK_SIZE, MAX_CHUNK_SIZE),
                ),
                name="dataset_chunk_size",
            ),
            models.CheckConstraint(condition=models.Q(size_unit__in=SizeUnit.values), name="dataset_size_unit"),
            models.CheckConstraint(condition=models.Q(chunking__in=Chunking.values), name="dataset_chunking"),
            models.CheckConstraint(
                condition=~models.Q(chunking=Chunking.PARENT_CHILD)
                | models.Q(parent_size__gte=models.F("chunk_size"), parent_size__lte=MAX_PARENT_SIZE),
                name="dataset_parent_size",
            ),
            models.CheckConstraint(
                condition=models.Q(chunk_overlap__lte=models.F("chunk_size") / 2), name="dataset_chunk_overlap"
            ),
        ]

    @property
    def fields(self) -> Mapping[str, FieldType]:
        """Return the types of the metadata fields by their names."""
        return fields_of(self.metadata_fields)

    def clean(self) -> None:
        """Raise `ValidationError`, by setting, if those of splitting are out of range or contradict each other."""
        if self.chunking in Chunking.values and self.size_unit in SizeUnit.values:
            faults = dict(self.split_settings.find_faults())
            if faults:
                raise ValidationError(faults)

    @property
    def split_settings(self) -> SplitSettings:
        """Return the settings with which the dataset's documents are split."""
        return SplitSettings(
            chunk_size=self.chunk_size,
            overlap=self.chunk_overlap,
            unit=SizeUnit(self.size_unit),
            chunking=Chunking(self.chunking),
            parent_size=self.parent_size,
        )

    @property
    def is_moving(self) -> bool:
        """Return whether vectors of the model in use are still moved from `NextVector` to the chunks."""
        return self.next_model == self.embedding_model

    @property
    def settings_key(self) -> str:
        """Return a key of the settings. If the keys of two indexings are equal, equal content gives equal chunks.

        Settings of extraction and summaries are left out if they are the defaults.
        """
        extraction = [f"ocr{self.max_ocr_pages}"] if self.max_ocr_pages else []
        extraction += ["comments"] if self.reads_comments else []
        summary = [self.summary_model] if self.summary_model else []
        parts = [self.split_settings.key, *extraction, KEY_ENDING, *summary]
        return hashlib.sha256(":".join(parts).encode()).hexdigest()[:16]
