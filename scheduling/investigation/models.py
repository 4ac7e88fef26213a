"""Investigations: the subject, the suspects that were found, and which of them it was."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import OptionalTenantModel


class Investigation(OptionalTenantModel):
    """The suspects for the cause of an alert, of failures with one fingerprint, or of a spike, as they were found.

    The names and texts in it are those that the requester may read: of one tenant, or of all.
    """

    alert = models.UUIDField(_("alert"), null=True, blank=True, help_text=_("Its id."))
    fingerprint = models.CharField(_("error"), max_length=16, blank=True, help_text=_("Fingerprint of the failures."))
    kind = models.CharField(_("kind"), max_length=64, blank=True)
    queue = models.CharField(_("queue"), max_length=60, blank=True)
    only_tenant = models.UUIDField(_("only tenant"), null=True, blank=True, help_text=_("Its id; empty: every tenant."))
    began_at = models.DateTimeField(_("began at"), null=True, blank=True, help_text=_("Of an alert: empty."))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    subject = models.CharField(_("subject"), max_length=300, editable=False)
    label = models.CharField(_("about"), max_length=300, editable=False)
    suspects = models.JSONField(_("suspects"), default=list, editable=False)
    evidence = models.JSONField(_("evidence"), default=dict, editable=False)
    named_tenants = ArrayField(models.UUIDField(), default=list, editable=False, verbose_name=_("tenants named"))
    asked_by = models.CharField(_("requested by"), max_length=200, editable=False)
    asked_at = models.DateTimeField(_("requested at"), db_default=Now(), editable=False)
    cause = models.PositiveSmallIntegerField(
        _("cause"), null=True, blank=True, help_text=_("Number of the suspect that it was; empty: another cause.")
    )
    has_helped = models.BooleanField(_("the remedy helped"), null=True, blank=True)
    note = models.CharField(_("note"), max_length=500, blank=True, help_text=_("What was done."))
    answered_by = models.CharField(_("outcome by"), max_length=200, blank=True, editable=False)

    class Meta:
        db_table = "scheduling_investigation"
        verbose_name = _("investigation")
        verbose_name_plural = _("investigations")
        indexes = [
            models.Index(fields=["tenant", "-id"], name="investigation_of_tenant"),
            models.Index(fields=["subject", "-id"], name="investigation_of_subject"),
        ]

    def __str__(self) -> str:
        return self.label
