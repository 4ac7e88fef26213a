"""Who may act for a tenant."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models.base import TenantModel


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    DEVELOPER = "developer", _("Developer")
    VIEWER = "viewer", _("Viewer")


class Membership(TenantModel):
    """A user's place in a tenant: viewers read, developers act, owners also decide who may (`tenants.permissions`)."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=Role,
        default=Role.VIEWER,
        help_text=_("Viewers look, developers also act, owners also decide who may and with which keys."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    last_chosen_at = models.DateTimeField(
        _("last chosen at"), null=True, editable=False, help_text=_("When its user last chose this tenant.")
    )

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_user_unique"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} ({str(self.get_role_display()).lower()})"
