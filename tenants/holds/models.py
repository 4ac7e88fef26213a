"""The model of legal holds."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel


class LegalHold(TenantModel):
    """The order to keep all data of a tenant, until it is released. A tenant may have several at once."""

    reason = models.CharField(_("reason"), max_length=500)
    placed_by = models.CharField(_("placed by"), max_length=200)
    placed_at = models.DateTimeField(_("placed at"), db_default=Now())
    released_by = models.CharField(_("released by"), max_length=200, blank=True)
    released_at = models.DateTimeField(_("released at"), null=True, blank=True, help_text=_("Empty: it holds."))

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        indexes = [models.Index(fields=["tenant"], condition=Q(released_at=None), name="legal_hold_in_force")]

    def __str__(self) -> str:
        return gettext("Hold %(id)s") % {"id": self.id}
