"""Runs of upkeep tasks, for the platform and for one tenant, with their results."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.database.ids import uuid7
from tenants.tenancy.bases import TenantModel
from tenants.translation import LocalizableText

# Before the end, rows may have been added that the estimate did not count.
ALMOST: Final = 0.99


class UpkeepResult(models.Model):
    """Base of runs: the result, and the lease that a process holds while it runs steps.

    The next steps begin at ``cursor``. If the process dies, its lease ends at ``lease_expires_at``. ``findings`` are
    texts in the form that `LocalizableText.to_json` returns.
    """

    name = models.CharField(_("name"), max_length=64)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    counts = models.JSONField(_("counts"), default=dict, help_text=_("Numbers of the run, by name."))
    findings = models.JSONField(
        _("findings"), default=list, help_text=_("Findings in words; a run with findings has failed.")
    )
    error = models.TextField(_("error"), blank=True)
    cursor = models.JSONField(_("cursor"), default=dict, help_text=_("Start of the next run."))
    lease_expires_at = models.DateTimeField(_("lease expires at"))

    class Meta:
        abstract = True

    @property
    def sentences(self) -> list[LocalizableText]:
        """Return the findings as texts that can be translated into any language."""
        return [LocalizableText.from_json(stored) for stored in self.findings]

    @property
    def messages(self) -> list[str]:
        """Return the error of the run, if any, and its findings, all in the active language."""
        return [*([gettext(self.error)] if self.error else []), *(sentence.localized for sentence in self.sentences)]


class UpkeepRun(UpkeepResult):
    """Run of an upkeep task of the platform, limited in time; the next run continues at its ``cursor``."""

    class Outcome(models.TextChoices):
        RUNNING = "running", _("Running")
        OK = "ok", _("Ok")
        PARTIAL = "partial", _("more to do")
        FAILED = "failed", _("Failed")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices, default=Outcome.RUNNING)
    started_at = models.DateTimeField(_("started at"))

    class Meta:
        verbose_name = _("upkeep run")
        verbose_name_plural = _("upkeep runs")
        db_table = "scheduling_upkeep_run"
        indexes = [models.Index(fields=["name", "-id"], name="upkeep_run_by_name")]
        constraints = [
            models.UniqueConstraint(fields=["name"], condition=Q(outcome="running"), name="upkeep_one_run_at_a_time")
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.get_outcome_display()}"


class TenantUpkeepRun(UpkeepResult, TenantModel):
    """Run of an upkeep task over one tenant, from its request to its end.

    Workers continue the same row for a few seconds at a time, so its counts add up. A tenant has at most one unfinished
    run of each task.
    """

    class Outcome(models.TextChoices):
        REQUESTED = "requested", _("Requested")
        RUNNING = "running", _("Running")
        OK = "ok", _("Ok")
        PARTIAL = "partial", _("more to do")
        FAILED = "failed", _("Failed")

    # Outcomes of runs that have not ended.
    OPEN: Final = (Outcome.REQUESTED, Outcome.RUNNING, Outcome.PARTIAL)

    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices, default=Outcome.REQUESTED)
    requested_by = models.CharField(_("requested by"), max_length=200, blank=True)
    requested_at = models.DateTimeField(_("requested at"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)

    class Meta:
        verbose_name = _("tenant upkeep run")
        verbose_name_plural = _("tenant upkeep runs")
        db_table = "scheduling_tenant_upkeep_run"
        ordering = ["-id"]
        indexes = [models.Index(fields=["tenant", "-id"], name="tenant_upkeep_run_by_tenant")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=Q(outcome__in=["requested", "running", "partial"]),
                name="tenant_upkeep_one_open_run",
            )
        ]

    def __str__(self) -> str:
        return gettext("Run %(id)s") % {"id": self.id}

    @property
    def is_open(self) -> bool:
        return self.outcome in self.OPEN

    @property
    def progress(self) -> float:
        """Return the approximate progress of a check of the audit chain, from 0 to 1.

        Entries of the audit log and seals (their links in the hash chain) count equally.
        """
        if not self.is_open:
            return 1.0
        seen = self.counts.get("seals", 0) + self.counts.get("entries", 0)
        return float(min(ALMOST, seen / max(1, 2 * self.counts.get("expected_seals", 0))))
