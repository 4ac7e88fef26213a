"""Rows of archived objects: which jobs an object has, and the hash that proves its content."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel


class ArchiveObject(TenantModel):
    """An object with ended jobs of one tenant, which were deleted in the transaction that set ``stored_at``.

    Without ``stored_at`` it is being written, or its process was killed: its jobs were not deleted.
    """

    key = models.CharField(_("key"), max_length=200)
    begun_at = models.DateTimeField(_("begun at"), db_default=Now())
    stored_at = models.DateTimeField(_("stored at"), null=True)
    first_id = models.UUIDField(_("first job"), null=True)
    last_id = models.UUIDField(_("last job"), null=True)
    job_ids = ArrayField(models.UUIDField(), verbose_name=_("jobs"), default=list)
    job_count = models.IntegerField(_("number of jobs"), default=0)
    size_bytes = models.BigIntegerField(_("size"), default=0)
    sha256 = models.CharField(_("sha256"), max_length=64, blank=True)
    restored_ids = ArrayField(models.UUIDField(), verbose_name=_("restored jobs"), default=list)
    restored_until = models.DateTimeField(
        _("restored until"), null=True, help_text=_("Until then retention keeps the restored jobs.")
    )

    class Meta:
        db_table = "scheduling_archive_object"
        verbose_name = _("archived object")
        verbose_name_plural = _("archive")
        indexes = [
            models.Index(fields=["tenant", "last_id"], name="archive_object_of_jobs"),
            models.Index(fields=["begun_at"], condition=Q(stored_at=None), name="archive_object_unfinished"),
            models.Index(fields=["tenant"], condition=Q(restored_until__isnull=False), name="archive_object_restored"),
        ]

    def __str__(self) -> str:
        return gettext("Object %(id)s") % {"id": self.id}
