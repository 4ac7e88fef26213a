"""Models of sources of documents and their items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from tenants.encryption.error_texts import SealedErrorField
from tenants.tenancy.bases import NamedModel, TenantModel
from workloads.documents.models import Dataset
from workloads.files.incoming import MAX_FILE_BYTES

MAX_KEY_BYTES = 2_000
MAX_VERSION_LENGTH = 200
MAX_DOCUMENTS = 100_000


class GoneItems(models.TextChoices):
    """What happens to the document of an item that is no longer listed."""

    DELETE = gettext_noop("delete"), _("Delete their documents")
    KEEP = gettext_noop("keep"), _("Keep their documents")


class ItemState(models.TextChoices):
    """The state of an item after the last sync that listed or missed it."""

    LISTED = gettext_noop("listed"), _("Listed")
    CURRENT = gettext_noop("current"), _("Current")
    ERROR = gettext_noop("error"), _("Error")
    GONE = gettext_noop("gone"), _("Gone")


class ContentSource(NamedModel, TenantModel):
    """A bucket, a web site or another place whose items become documents of a dataset.

    ``credentials`` maps names of the connector's credentials to names of stored secrets. ``job_id`` is the job of the
    last sync, ``sync_number`` counts the syncs, and ``counts`` are the results of the last one that was completed.
    """

    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    name = models.CharField(_("name"), max_length=100)
    connector = models.CharField(_("connector"), max_length=63)
    config = models.JSONField(_("configuration"), default=dict)
    credentials = models.JSONField(
        _("credentials"),
        default=dict,
        blank=True,
        help_text=_("The name of a stored secret for each credential of the connector."),
    )
    max_documents = models.PositiveIntegerField(
        _("documents at most"),
        default=10_000,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_DOCUMENTS)],
        help_text=_("A longer listing is cut, and then no item counts as gone."),
    )
    max_file_bytes = models.PositiveIntegerField(
        _("bytes of a file at most"),
        default=MAX_FILE_BYTES,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_FILE_BYTES)],
    )
    gone_items = models.CharField(
        _("items that are gone"), max_length=10, choices=GoneItems, default=GoneItems.DELETE.value
    )
    is_enabled = models.BooleanField(_("is enabled"), default=True)
    job_id = models.UUIDField(_("job id"), null=True, editable=False)
    sync_number = models.PositiveIntegerField(_("sync number"), default=0, editable=False)
    synced_at = models.DateTimeField(_("last sync"), null=True, editable=False)
    counts = models.JSONField(_("counts"), default=dict, editable=False)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("document source")
        verbose_name_plural = _("document sources")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="content_source_tenant_id"),
            models.UniqueConstraint(fields=["tenant", "name"], name="content_source_name_unique"),
            models.CheckConstraint(
                condition=models.Q(gone_items__in=GoneItems.values), name="content_source_gone_items_known"
            ),
        ]
        indexes = [models.Index(fields=["tenant", "dataset"], name="content_source_dataset")]


class SourceItem(TenantModel):
    """An item of a source, and the document that its content has become.

    ``seen_in``, ``checked_in``, ``added_in`` and ``changed_in`` are numbers of syncs: the last one that listed it, that
    fetched it or stored its error, the first one that made a document of it, and the last one that changed the
    document. ``fetched_version`` and ``sha256`` are those of the content in the document. Several items with the same
    content share a document; at most one is its owner, none if it was uploaded otherwise.
    """

    source = models.ForeignKey(
        ContentSource,
        models.CASCADE,
        verbose_name=_("source"),
        db_constraint=False,
        db_index=False,
        related_name="items",
    )
    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    key = models.CharField(_("key"), max_length=MAX_KEY_BYTES)
    version = models.CharField(_("version"), max_length=MAX_VERSION_LENGTH, blank=True)
    fetched_version = models.CharField(_("fetched version"), max_length=MAX_VERSION_LENGTH, blank=True)
    sha256 = models.CharField(_("sha256"), max_length=64, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ItemState, default=ItemState.LISTED)
    error_code = models.CharField(_("error code"), max_length=64, blank=True)
    error_message = SealedErrorField(_("error message"), max_length=1_000, blank=True)
    # Not a reference: a document may be deleted by hand, and its rows are locked in another order.
    document_id = models.UUIDField(_("document"), null=True)
    is_owner = models.BooleanField(_("is owner"), default=False)
    seen_in = models.PositiveIntegerField(_("seen in sync"))
    checked_in = models.PositiveIntegerField(_("checked in sync"), default=0)
    added_in = models.PositiveIntegerField(_("added in sync"), default=0)
    changed_in = models.PositiveIntegerField(_("changed in sync"), default=0)
    changed_at = models.DateTimeField(_("changed at"), null=True)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("item of a source")
        verbose_name_plural = _("items of sources")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "source", "key"], name="source_item_key_unique"),
            models.CheckConstraint(condition=models.Q(state__in=ItemState.values), name="source_item_state_known"),
        ]
        indexes = [
            models.Index(fields=["tenant", "source", "-id"], name="source_item_source"),
            models.Index(fields=["tenant", "document_id"], name="source_item_document"),
        ]

    def __str__(self) -> str:
        return self.key
