"""Rows of stored evidence packs, and of the schedules that request them."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from scheduling.evidence.controls import TEMPLATES
from tenants.tenancy.bases import NamedModel, OptionalTenantModel

_CHOICES: Final = [(template.name, _(template.title)) for template in TEMPLATES.values()]
_EMPTY: Final = _("Make the pack also of a period without audit entries.")


class EvidenceSchedule(NamedModel, OptionalTenantModel):
    """Schedule of packs of each month or quarter, of a tenant or of the platform, and who gets their links."""

    class Every(models.TextChoices):
        MONTH = "month", _("month")
        QUARTER = "quarter", _("quarter")

    name = models.CharField(_("name"), max_length=100)
    template = models.CharField(_("template"), max_length=20, choices=_CHOICES)
    every = models.CharField(_("every"), max_length=7, choices=Every.choices, default=Every.MONTH)
    group = models.ForeignKey(
        "scheduling.ContactGroup",
        models.CASCADE,
        verbose_name=_("contact group"),
        related_name="+",
        help_text=_("Its contacts receive a link to each pack."),
    )
    is_empty_allowed = models.BooleanField(_("also without data"), default=False, help_text=_EMPTY)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    # The beginning of the period of its last pack, also if that was deleted.
    last_since = models.DateTimeField(_("last period"), null=True, editable=False)

    class Meta:
        db_table = "scheduling_evidence_schedule"
        verbose_name = _("evidence schedule")
        verbose_name_plural = _("evidence schedules")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], nulls_distinct=False, name="evidence_schedule_name")
        ]


class EvidencePack(OptionalTenantModel):
    """A pack that upkeep makes and stores in the archive: of a tenant, or of the platform."""

    class State(models.TextChoices):
        QUEUED = "queued", _("queued")
        STORED = "stored", _("stored")
        FAILED = "failed", _("failed")

    template = models.CharField(_("template"), max_length=20, choices=_CHOICES)
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), help_text=_("Entries that were sealed at or after it are left out."))
    is_empty_allowed = models.BooleanField(_("also without data"), default=False, help_text=_EMPTY)
    # No foreign key: packs outlive their schedule.
    schedule = models.UUIDField(_("schedule"), null=True, editable=False)
    requested_by = models.CharField(_("requested by"), max_length=200, editable=False)
    requested_at = models.DateTimeField(_("requested at"), db_default=Now(), editable=False)
    state = models.CharField(_("state"), max_length=6, choices=State.choices, default=State.QUEUED, editable=False)
    key = models.CharField(_("key"), max_length=200, blank=True, editable=False)
    size_bytes = models.BigIntegerField(_("size"), default=0, editable=False)
    sha256 = models.CharField(_("sha256"), max_length=64, blank=True, editable=False)
    entries = models.BigIntegerField(_("audit entries"), default=0, editable=False)
    faults = models.IntegerField(_("faults"), default=0, editable=False, help_text=_("Of the hash chains."))
    error = models.CharField(_("error"), max_length=500, blank=True, editable=False)

    class Meta:
        db_table = "scheduling_evidence_pack"
        verbose_name = _("evidence pack")
        verbose_name_plural = _("evidence packs")
        constraints = [models.UniqueConstraint(fields=["schedule", "since"], name="evidence_pack_once")]
        indexes = [models.Index(fields=["id"], condition=Q(state="queued"), name="evidence_pack_queued")]

    def __str__(self) -> str:
        facts = {"template": self.template, "since": f"{self.since:%Y-%m-%d}", "until": f"{self.until:%Y-%m-%d}"}
        return gettext("Pack %(template)s, %(since)s to %(until)s") % facts
