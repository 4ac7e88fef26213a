"""Rows of compensations: what undoes one piece of work, and how far that is."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantModel

MAX_WORK_NAME = 200
MAX_ERROR = 500
# States in which a dispatcher still has something to do, or waits for the end of the owner.
OPEN = ("begun", "ready", "pending", "running")


class Compensation(TenantModel):
    """The job that undoes one piece of work of its owner: a node of a workflow run, or a member of a batch.

    It is stored when the work begins, and deleted when the owner succeeds.
    """

    class Owner(models.TextChoices):
        RUN = "run", _("workflow run")
        BATCH = "batch", _("batch")

    class State(models.TextChoices):
        BEGUN = "begun", _("work begun")
        READY = "ready", _("work done")
        PENDING = "pending", _("to be compensated")
        RUNNING = "running", _("being compensated")
        COMPENSATED = "compensated", _("compensated")
        NEEDS_ATTENTION = "needs_attention", _("needs attention")
        SETTLED = "settled", _("settled by hand")

    owner_type = models.CharField(_("owner type"), max_length=5, choices=Owner.choices)
    owner_id = models.UUIDField(_("owner"), help_text=_("Id of the workflow run, which is its job's, or of the batch."))
    work = models.CharField(
        _("work"), max_length=MAX_WORK_NAME, help_text=_("The node of the run, or the id of the job in the batch.")
    )
    kind = models.CharField(_("kind"), max_length=64, help_text=_("Kind of the job that compensates."))
    payload = SealedJSONField(_("payload"), null=True)
    max_retries = models.PositiveSmallIntegerField(_("max retries"), null=True)
    state = models.CharField(_("state"), max_length=15, choices=State.choices)
    done_at = models.DateTimeField(
        _("done at"), help_text=_("When the work ended, or began; the last one is compensated first.")
    )
    due_at = models.DateTimeField(_("due at"), null=True)
    job_id = models.UUIDField(_("job id"), null=True, help_text=_("The job that compensates."))
    error = SealedErrorField(_("error"), max_length=MAX_ERROR, blank=True, db_default="", owner="job_id")
    ended_at = models.DateTimeField(_("ended at"), null=True)

    class Meta:
        db_table = "scheduling_compensation"
        verbose_name = _("compensation")
        verbose_name_plural = _("compensations")
        constraints = [models.UniqueConstraint(fields=["tenant", "owner_id", "work"], name="compensation_once")]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="compensation_of_tenant"),
            models.Index(fields=["owner_id"], condition=Q(state__in=OPEN), name="compensation_open"),
            models.Index(fields=["tenant"], condition=Q(state="needs_attention"), name="compensation_stuck"),
        ]

    def __str__(self) -> str:
        return f"{self.work}: {self.kind}"
