"""Who works for the platform, and as what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.permissions import PlatformRole

PLATFORM_ROLE_CHOICES = [
    (PlatformRole.ADMIN.value, _("Admin")),
    (PlatformRole.OPERATOR.value, _("Operator")),
    (PlatformRole.AUDITOR.value, _("Auditor")),
]


class PlatformMembership(models.Model):
    """A user's role for the platform as a whole; a superuser is an admin without one."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.PROTECT, related_name="platform_membership"
    )
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=PLATFORM_ROLE_CHOICES,
        help_text=_("Admins do everything; operators run what is there; auditors read everything and write nothing."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        ordering = ["created_at"]
        verbose_name = _("platform role")
        verbose_name_plural = _("platform roles")
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__in=[role.value for role in PlatformRole]), name="platform_role_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} ({str(self.get_role_display()).lower()})"
