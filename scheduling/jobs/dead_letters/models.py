"""Dead letters: jobs that were given up, until they are requeued."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from scheduling.jobs.models import Job
from tenants.encryption.error_texts import SealedErrorField
from tenants.tenancy.bases import TenantModel


class DeadLetter(TenantModel):
    """A job that will not run again by itself, with the reason."""

    class Reason(models.TextChoices):
        PERMANENT_ERROR = "permanent_error", _("permanent error")
        ATTEMPTS_EXHAUSTED = "attempts_exhausted", _("attempts exhausted")
        DEADLINE_PASSED = "deadline_passed", _("deadline passed")
        RETRY_PAST_DEADLINE = "retry_past_deadline", _("its retry would start after its deadline")
        CRASHED_WORKERS = "crashed_workers", _("crashed its workers")
        DISCARDED = "discarded", _("discarded by a person")

    job = models.OneToOneField(
        Job, models.DO_NOTHING, verbose_name=_("job"), db_constraint=False, related_name="dead_letter"
    )
    kind = models.CharField(_("kind"), max_length=64)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices)
    error_type = models.CharField(_("error type"), max_length=100, blank=True)
    error_message = SealedErrorField(_("error message"), blank=True, owner="job_id")
    error_fingerprint = models.CharField(_("error fingerprint"), max_length=16, blank=True)
    created_at = models.DateTimeField(_("created at"))
    requeued_at = models.DateTimeField(_("requeued at"), null=True, blank=True)
    requeued_job_id = models.UUIDField(_("requeued job id"), null=True, blank=True)

    class Meta:
        verbose_name = _("dead letter")
        verbose_name_plural = _("dead letters")
        constraints = [models.UniqueConstraint(fields=["tenant", "id"], name="dead_letter_tenant_id")]
        indexes = [
            models.Index(fields=["error_fingerprint", "tenant", "id"], name="dead_letter_by_fingerprint"),
            # The groups of waiting letters are read along it, one probe a group, however many letters a group has.
            models.Index(
                fields=["tenant", "kind", "error_fingerprint", "id"],
                name="dead_letter_group",
                condition=Q(requeued_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.get_reason_display()}"
