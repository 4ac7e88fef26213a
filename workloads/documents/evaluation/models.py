"""Model of evaluations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel
from workloads.documents.models import Dataset

MAX_NOTE_LENGTH = 200


class Evaluation(TenantModel):
    """Questions asked to a dataset, and how well each mode of search found the documents that answer them.

    ``settings`` are those of the dataset when the evaluation was started. ``ranks`` has for each question that is done
    the rank of the answer in each variant, and ``results`` the metrics once all are done.
    """

    dataset = models.ForeignKey(
        Dataset, models.CASCADE, verbose_name=_("dataset"), db_constraint=False, db_index=False, related_name="+"
    )
    note = models.CharField(_("note"), max_length=MAX_NOTE_LENGTH, blank=True)
    settings = models.JSONField(_("settings"))
    questions = models.JSONField(_("questions"))
    questions_total = models.PositiveIntegerField(_("questions"))
    questions_done = models.PositiveIntegerField(_("questions done"), default=0)
    ranks = models.JSONField(_("ranks"), default=list)
    results = models.JSONField(_("results"), default=list)
    job_id = models.UUIDField(_("job id"))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)

    narrowed_by: ClassVar[Mapping[str, str]] = {"datasets": "dataset"}

    class Meta:
        verbose_name = _("evaluation")
        verbose_name_plural = _("evaluations")
        indexes = [models.Index(fields=["tenant", "dataset", "-id"], name="evaluation_dataset")]

    def __str__(self) -> str:
        return self.note or f"{self.created_at:%Y-%m-%d %H:%M}"
