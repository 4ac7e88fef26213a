"""Invitations: a place in a tenant that is offered, and taken by its link."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.models.base import TenantModel
from tenants.models.membership import Role


class Invitation(TenantModel):
    """An offered place in a tenant; its link is shown or mailed once, and only the SHA-256 of its token is kept."""

    invitee = models.CharField(
        _("invitee"), max_length=254, help_text=_("A user name or e-mail address, as the inviter typed it.")
    )
    role = models.CharField(_("role"), max_length=20, choices=Role, default=Role.VIEWER)
    token_hash = models.CharField(_("token hash"), max_length=64, unique=True, editable=False)
    is_mailed = models.BooleanField(_("is mailed"), default=False, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("invited by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(_("expires at"), editable=False)
    accepted_at = models.DateTimeField(_("accepted at"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-created_at"]
        constraints = [models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role_known")]
        indexes = [models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant")]

    def __str__(self) -> str:
        return self.invitee

    @property
    def is_of_address(self) -> bool:
        """Whether it names an e-mail address and not a user name."""
        return "@" in self.invitee

    def state_at(self, moment: datetime) -> str:
        """Return `pending`, `accepted`, `revoked` or `expired`."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "pending" if self.expires_at > moment else "expired"
