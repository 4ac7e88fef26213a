"""Models of stored contents and uploaded files."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel


class Content(TenantModel):
    """Some bytes in the file storage, stored once per tenant.

    Rows refer to it by its ``key``. Until ``held_until`` it counts as used even without a row, because a row that
    refers to it may still be committed.
    """

    key = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.PositiveBigIntegerField()
    stored_at = models.DateTimeField(db_default=Now(), editable=False)
    held_until = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "key"], name="content_key_unique")]

    def __str__(self) -> str:
        return self.key


class StoredFile(TenantModel):
    """Base of a file with a name; ``key`` is the key of its content."""

    name = models.CharField(_("name"), max_length=255)
    content_type = models.CharField(_("content type"), max_length=100)
    size_bytes = models.PositiveBigIntegerField(_("size bytes"))
    sha256 = models.CharField(_("sha256"), max_length=64)
    key = models.CharField(_("key"), max_length=200)
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name


class UploadedFile(StoredFile):
    """A file that was uploaded to a tenant and is referred to by its id."""

    class Meta:
        verbose_name = _("uploaded file")
        verbose_name_plural = _("uploaded files")
        constraints = [models.UniqueConstraint(fields=["tenant", "id"], name="uploaded_file_tenant_id")]
        indexes = [models.Index(fields=["tenant", "key"], name="uploaded_file_key")]


class Artifact(StoredFile):
    """A file that a job has attached; it is deleted with its job."""

    job_id = models.UUIDField(_("job id"))

    class Meta:
        verbose_name = _("artifact")
        verbose_name_plural = _("artifacts")
        constraints = [models.UniqueConstraint(fields=["tenant", "job_id", "name"], name="artifact_name_unique")]
        indexes = [models.Index(fields=["tenant", "key"], name="artifact_key")]


# Columns that refer to contents.
FILE_REFERENCES = ((UploadedFile, "key"), (Artifact, "key"))
