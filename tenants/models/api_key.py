"""Keys by which programs act for a tenant."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models.base import TenantModel
from tenants.models.names import NamedModel


class ApiKey(NamedModel, TenantModel):
    """A key of one tenant; the secret is shown once and only its SHA-256 is kept."""

    name = models.CharField(
        _("name"), max_length=100, help_text=_("What the key is for, such as the program that bears it.")
    )
    prefix = models.CharField(_("prefix"), max_length=16, unique=True)
    secret_hash = models.CharField(_("secret hash"), max_length=64)
    scopes = ArrayField(
        models.CharField(max_length=50),
        verbose_name=_("scopes"),
        default=list,
        help_text=_("What the key may do: permissions by name, and nothing else."),
    )
    allowed_addresses = ArrayField(
        models.CharField(max_length=50),
        verbose_name=_("allowed addresses"),
        default=list,
        blank=True,
        help_text=_("Networks such as 203.0.113.0/24 that the key is accepted from; empty: from everywhere."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True)
    expires_at = models.DateTimeField(
        _("expires at"), null=True, blank=True, help_text=_("From then on the key is refused.")
    )
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    rotated_at = models.DateTimeField(
        _("rotated at"), null=True, editable=False, help_text=_("When another key took its place.")
    )
    warned_at = models.DateTimeField(
        _("warned at"), null=True, editable=False, help_text=_("When its owners were told that it ends.")
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = [models.Index(fields=["tenant", "-created_at"], name="api_key_by_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    def is_valid_at(self, moment: datetime) -> bool:
        """Neither revoked nor expired at `moment`."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > moment)
