"""The model that stores a tenant's settings."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantModel


class TenantSettings(TenantModel):
    """The settings of one tenant that differ from the defaults, by key. A tenant that has set none may have no row.

    The installed apps declare the keys and their meaning (`tenants.settings.schema`).
    """

    stored = models.JSONField(_("stored"), default=dict)
    version = models.PositiveIntegerField(_("version"), default=0, help_text=_("Incremented with each change."))
    updated_at = models.DateTimeField(_("updated at"), db_default=Now())

    class Meta:
        verbose_name = verbose_name_plural = _("settings")
        constraints = [models.UniqueConstraint(fields=["tenant"], name="tenant_settings_tenant")]

    def __str__(self) -> str:
        return gettext("Settings")
