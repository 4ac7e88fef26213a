"""Model of the index of the documents' metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel
from workloads.documents.dataset_model import Dataset
from workloads.documents.document_model import Document
from workloads.documents.metadata import MAX_FIELD_NAME_LENGTH, MAX_VALUE_LENGTH, keys_of


class DocumentValue(TenantModel):
    """A value of a document's metadata by its key, for filters; a list of texts has one row for each.

    The document has the values as they were given.
    """

    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    document = models.ForeignKey(
        Document, models.CASCADE, verbose_name=_("document"), db_constraint=False, db_index=False, related_name="+"
    )
    name = models.CharField(_("name"), max_length=MAX_FIELD_NAME_LENGTH)
    # In the order of code points, which a number's key needs.
    key = models.CharField(_("key"), max_length=MAX_VALUE_LENGTH, db_collation="C")

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("document value")
        verbose_name_plural = _("document values")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "dataset", "name", "key", "document"], name="document_value_unique"
            )
        ]
        indexes = [models.Index(fields=["tenant", "document"], name="document_value_document")]

    def __str__(self) -> str:
        return f"{self.document_id}: {self.name}"


def index_values(documents: Iterable[Document]) -> None:
    """Replace the index rows of the documents by those of their metadata, in the current transaction."""
    listed = list(documents)
    DocumentValue.objects.filter(document__in=listed).delete()
    DocumentValue.objects.bulk_create(
        DocumentValue(tenant_id=one.tenant_id, dataset_id=one.dataset_id, document=one, name=name, key=key)
        for one in listed
        for name, value in one.metadata.items()
        for key in keys_of(value)
    )
