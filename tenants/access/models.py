"""Models of access: API keys, memberships, invitations and platform roles."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.access.permissions import PlatformRole
from tenants.tenancy.bases import NamedModel, TenantModel


class ApiKey(NamedModel, TenantModel):
    """An API key of one tenant, or of the platform, without a tenant; only its secret's SHA-256 hash is stored.

    Row-level security shows the platform's keys in the scope of all tenants only.
    """

    tenant = models.ForeignKey(  # type: ignore[assignment] # the base has no empty one
        "tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), null=True, db_index=False, related_name="+"
    )
    name = models.CharField(
        _("name"), max_length=100, help_text=_("The purpose of the key, such as the program that uses it.")
    )
    prefix = models.CharField(_("prefix"), max_length=16, unique=True)
    secret_hash = models.CharField(_("secret hash"), max_length=64)
    scopes = ArrayField(
        models.CharField(max_length=50),
        verbose_name=_("scopes"),
        default=list,
        help_text=_("The permissions of the key."),
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
        _("expires at"), null=True, blank=True, help_text=_("The key is refused from this time on.")
    )
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)
    rotated_at = models.DateTimeField(
        _("rotated at"), null=True, editable=False, help_text=_("When another key replaced it.")
    )
    warned_at = models.DateTimeField(
        _("warned at"), null=True, editable=False, help_text=_("When its owners were warned that it expires.")
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        indexes = [models.Index(fields=["tenant", "-created_at"], name="api_key_by_tenant")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    def is_valid_at(self, moment: datetime) -> bool:
        """Return whether, at `moment`, the key has not been revoked and has not expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > moment)


class PlatformKey(ApiKey):
    """An API key without a tenant, for a page and an address of its own."""

    class Meta:
        proxy = True
        verbose_name = _("platform key")
        verbose_name_plural = _("platform keys")


class Role(models.TextChoices):
    """The role of a member in a tenant."""

    OWNER = "owner", _("Owner")
    DEVELOPER = "developer", _("Developer")
    VIEWER = "viewer", _("Viewer")


class Membership(TenantModel):
    """The role of one user in one tenant; `tenants.access.permissions` lists what each role may do."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=Role,
        default=Role.VIEWER,
        help_text=_("Viewers read, developers also run jobs, owners also manage members and keys."),
    )
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)
    is_by_claims = models.BooleanField(
        _("by claims"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Given by claims at a sign-in, and taken when they end."),
    )
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


class Invitation(TenantModel):
    """An invitation to a tenant. Its link is shown or mailed once; only the SHA-256 hash of its token is stored."""

    invitee = models.CharField(
        _("invitee"), max_length=254, help_text=_("A user name or e-mail address, as typed by the inviter.")
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
        """Return whether the invitation is for an e-mail address; otherwise it is for a user name."""
        return "@" in self.invitee

    def state_at(self, moment: datetime) -> str:
        """Return the state at `moment`: `pending`, `accepted`, `revoked` or `expired`."""
        if self.accepted_at is not None:
            return "accepted"
        if self.revoked_at is not None:
            return "revoked"
        return "pending" if self.expires_at > moment else "expired"


PLATFORM_ROLE_CHOICES = [
    (PlatformRole.ADMIN.value, _("Admin")),
    (PlatformRole.OPERATOR.value, _("Operator")),
    (PlatformRole.AUDITOR.value, _("Auditor")),
]


class PlatformMembership(models.Model):
    """The platform role of one user. A superuser without such a row is a platform admin."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.PROTECT, related_name="platform_membership"
    )
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=PLATFORM_ROLE_CHOICES,
        help_text=_("Admins do everything; operators run the platform; auditors read everything and change nothing."),
    )
    is_by_claims = models.BooleanField(
        _("by claims"),
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Given by claims at a sign-in, and taken when they end."),
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
