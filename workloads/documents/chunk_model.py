"""Models of the chunks of documents, and of their earlier texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Cast, Coalesce, Now
from django.utils.translation import gettext_lazy as _
from pgvector.django import VectorField

from tenants.tenancy.bases import TenantModel
from workloads.documents.dataset_model import Dataset
from workloads.documents.document_model import Document

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
    search finds a chunk with ``is_enabled`` False. ``vector_digest`` is None until the vector is that of the text;
    ``embedding`` is None if there is no vector yet. Only the ``location`` of a summary has ``summary``: its model.
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
    # Of any number of dimensions: those of the dataset's model.
    embedding = VectorField(verbose_name=_("embedding"), null=True)
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

    @property
    def is_summary(self) -> bool:
        """Return whether a model has written the text as a summary of the document."""
        return "summary" in self.location


class NextVector(TenantModel):
    """The vector of a chunk by the model that its dataset gets next. Its id is that of the chunk.

    While the dataset is re-embedded, vectors collect here. From the moment at which the new model serves, a row here
    takes precedence over the vector of its chunk, until it is moved there.
    """

    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    document = models.ForeignKey(
        Document, models.CASCADE, verbose_name=_("document"), db_constraint=False, db_index=False, related_name="+"
    )
    embedding = VectorField(verbose_name=_("embedding"))
    vector_digest = models.UUIDField(_("vector digest"))

    class Meta:
        verbose_name = _("next vector")
        verbose_name_plural = _("next vectors")
        indexes = [
            models.Index(fields=["tenant", "dataset", "id"], name="next_vector_dataset"),
            models.Index(fields=["tenant", "document"], name="next_vector_document"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


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
