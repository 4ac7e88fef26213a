"""Notes on jobs, which are only added."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel


class JobNote(TenantModel):
    """One note on one job; it is deleted with the job."""

    job = models.ForeignKey(
        "scheduling.Job",
        models.DO_NOTHING,
        verbose_name=_("job"),
        db_constraint=False,  # the composite key (tenant, job) is in the migration
        db_index=False,
        related_name="notes",
    )
    author = models.CharField(_("author"), max_length=200)
    text = models.TextField(_("text"), help_text=_("At most 4 KiB."))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "scheduling_job_note"
        verbose_name = _("note")
        verbose_name_plural = _("notes")
        indexes = [models.Index(fields=["tenant", "job", "id"], name="job_note_of_job")]

    def __str__(self) -> str:
        return self.text[:80]
