"""Batches: jobs that were submitted together, counted as they end."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantManager, TenantModel

MAX_BATCH_LABEL = 200


class Batch(TenantModel):
    """Jobs that were submitted together, such as the documents of one upload or the children of a job.

    An open batch accepts more jobs; a closed one ends when all of its jobs have ended. `fold_batches` counts the ended
    jobs from rows of `BatchNews`, so the counters may lag behind the jobs, and are never ahead of them.
    """

    label = models.CharField(_("label"), max_length=MAX_BATCH_LABEL)
    kind = models.CharField(
        _("kind"), max_length=64, blank=True, help_text=_("Kind of its jobs; empty for several kinds.")
    )
    total = models.PositiveIntegerField(_("total"), help_text=_("Jobs in this batch."))
    completed = models.PositiveIntegerField(_("completed"), db_default=0, help_text=_("Completed jobs."))
    failed = models.PositiveIntegerField(
        _("failed"), db_default=0, help_text=_("Jobs that were discarded or quarantined.")
    )
    cancelled = models.PositiveIntegerField(_("cancelled"), db_default=0, help_text=_("Jobs that were cancelled."))
    pruned = models.PositiveIntegerField(_("pruned"), db_default=0, help_text=_("Ended jobs that were pruned."))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, help_text=_("When it was closed to further jobs."))
    ended_at = models.DateTimeField(
        _("ended at"), null=True, help_text=_("When it was closed and all its jobs had ended.")
    )
    cancelled_at = models.DateTimeField(_("cancelled at"), null=True, help_text=_("When it was cancelled as a whole."))
    cancel_reason = models.CharField(_("cancel reason"), max_length=200, blank=True, db_default="")
    on_completion = SealedJSONField(
        _("on completion"), null=True, help_text=_("The job that is submitted when it has ended.")
    )
    # Beside the sealed job, because the statement that ends a batch reads it.
    only_if_completed = models.BooleanField(_("only if completed"), db_default=False, editable=False)
    fire_at = models.DateTimeField(
        _("fire at"), null=True, help_text=_("When the submission of that job is due, or retried.")
    )
    fire_error = SealedErrorField(
        _("fire error"), max_length=500, blank=True, db_default="", help_text=_("Why it could not be submitted.")
    )
    fired_job_id = models.UUIDField(_("fired job id"), null=True, help_text=_("The job that was submitted at its end."))
    compensate = SealedJSONField(
        _("compensation"), null=True, help_text=_("The job that undoes a member if the batch fails or is cancelled.")
    )
    compensation_planned_at = models.DateTimeField(_("compensation planned at"), null=True)
    waiting_job_id = models.UUIDField(
        _("waiting job id"), null=True, help_text=_("The job that continues when the batch has ended.")
    )

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        constraints = [models.UniqueConstraint(fields=["tenant", "id"], name="batch_tenant_id")]
        indexes = [
            models.Index(fields=["fire_at"], condition=Q(fire_at__isnull=False), name="batch_fire_at"),
            models.Index(
                fields=["id"], condition=Q(cancelled_at__isnull=False, ended_at__isnull=True), name="batch_cancelling"
            ),
            models.Index(
                fields=["waiting_job_id"],
                condition=Q(waiting_job_id__isnull=False, ended_at__isnull=True),
                name="batch_awaited",
            ),
            models.Index(
                fields=["id"],
                condition=Q(compensate__isnull=False, compensation_planned_at__isnull=True, ended_at__isnull=False),
                name="batch_to_compensate",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.total})"

    @property
    def ended(self) -> int:
        """Return how many jobs of the batch have ended."""
        return self.completed + self.failed + self.cancelled

    @property
    def state(self) -> str:
        """Return the batch's state, such as `running`.

        It is `open`, `running` or `cancelling` until the batch has ended; then `completed`, `failed` or `cancelled`.
        """
        if self.ended_at is None:
            if self.cancelled_at is not None:
                return "cancelling"
            return "open" if self.closed_at is None else "running"
        if self.cancelled_at is not None:
            return "cancelled"
        return "completed" if self.completed == self.total else "failed"


class BatchNews(models.Model):
    """One event of a batch that its counters do not include yet; `fold_batches` counts and deletes the rows.

    ``state`` is the state in which a job of the batch ended; if it is empty, the batch was closed.
    """

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    batch_id = models.UUIDField()
    state = models.CharField(max_length=12, blank=True)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_batch_news"
