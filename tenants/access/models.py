"""Models of access: API keys, memberships, invitations and platform roles."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from tenants.access.permissions import PlatformRole
from tenants.narrowing import Narrowing
from tenants.tenancy.bases import NamedModel, OptionalTenantModel, TenantModel

# The most queues, kinds or datasets that a role names.
MAX_NARROWED = 50


def _names(title: Any, help_text: Any) -> ArrayField[Any, Any]:
    names = models.CharField(max_length=100)
    return ArrayField(names, verbose_name=title, size=MAX_NARROWED, default=list, blank=True, help_text=help_text)


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
    role = models.CharField(
        _("role"),
        max_length=50,
        blank=True,
        default="",
        db_default="",
        help_text=_("A role of the tenant's own that bounds the scopes, and narrows the key as it is narrowed."),
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


MAX_ROLE_NAME = 50


def role_words(name: str) -> str:
    """Return the words for a role of a tenant; a tenant's own role is shown by its name."""
    return str(Role(name).label) if name in Role.values else name


class NamedRole(models.Model):
    """Base of models that name a role of a tenant, a shipped one or one of the tenant's own."""

    role = models.CharField(
        _("role"),
        max_length=MAX_ROLE_NAME,
        default=Role.VIEWER,
        help_text=_("Viewers read, developers also run jobs, owners also manage members and keys."),
    )

    class Meta:
        abstract = True

    def get_role_display(self) -> str:
        """Return the words for the role."""
        return role_words(self.role)


class TenantRole(NamedModel, OptionalTenantModel):
    """A role that a tenant makes of the named rights; it may be narrowed to queues, kinds and datasets."""

    tenant = models.ForeignKey(
        "tenants.Tenant", models.PROTECT, verbose_name=_("tenant"), db_index=False, related_name="+"
    )
    name = models.CharField(_("name"), max_length=MAX_ROLE_NAME, help_text=_("Members, keys and rules name it."))
    rights = ArrayField(models.CharField(max_length=50), verbose_name=_("rights"), size=100)
    queues = _names(_("queues"), _("The only queues whose jobs the role sees and submits; empty: all."))
    kinds = _names(_("kinds"), _("The only kinds whose jobs the role sees and submits; empty: all."))
    datasets = _names(_("datasets"), _("The only datasets that the role sees and changes; empty: all."))
    created_at = models.DateTimeField(_("created at"), db_default=Now(), editable=False)

    class Meta:
        db_table = "tenants_role"
        ordering = ["name"]
        verbose_name = _("tenant role")
        verbose_name_plural = _("tenant roles")
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="tenant_role_name")]

    @property
    def narrowing(self) -> Narrowing | None:
        """Return what the role is narrowed to; None if it is not."""
        return Narrowing(frozenset(self.queues), frozenset(self.kinds), frozenset(self.datasets)) or None


class Membership(NamedRole, TenantModel):
    """The role of one user in one tenant; `tenants.access.permissions` lists what each shipped role may do."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
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
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_user_unique")]

    def __str__(self) -> str:
        return f"{self.user} ({str(self.get_role_display()).lower()})"


class Invitation(NamedRole, TenantModel):
    """An invitation to a tenant. Its link is shown or mailed once; only the SHA-256 hash of its token is stored."""

    invitee = models.CharField(
        _("invitee"), max_length=254, help_text=_("A user name or e-mail address, as typed by the inviter.")
    )
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
