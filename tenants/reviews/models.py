"""Tables of access reviews: the reviews, and the lines of their snapshots."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import OptionalTenantModel


class AccessReview(OptionalTenantModel):
    """A review of who has access to a tenant or, without one, of all accounts and of the platform's roles and keys."""

    opened_by = models.CharField(_("opened by"), max_length=200)
    opened_at = models.DateTimeField(_("opened at"), db_default=Now())
    closed_by = models.CharField(_("closed by"), max_length=200, blank=True)
    closed_at = models.DateTimeField(_("closed at"), null=True, blank=True)
    sha256 = models.CharField(
        _("SHA-256"), max_length=64, blank=True, help_text=_("Of all lines with their decisions, when it was closed.")
    )

    class Meta:
        db_table = "tenants_access_review"
        ordering = ["-id"]
        verbose_name = _("access review")
        verbose_name_plural = _("access reviews")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant"], condition=Q(closed_at=None), nulls_distinct=False, name="access_review_open_once"
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by="", sha256="")
                | Q(~Q(closed_by=""), ~Q(sha256=""), closed_at__isnull=False),
                name="access_review_closed_by",
            ),
        ]

    def __str__(self) -> str:
        return gettext("Access review of %(date)s") % {"date": f"{self.opened_at:%Y-%m-%d %H:%M}"}


class AccessKind(models.TextChoices):
    """What a line is about."""

    MEMBER = "member", _("Member")
    KEY = "key", _("API key")
    ROLE = "role", _("Role of the tenant's own")
    ACCOUNT = "account", _("Account")
    PLATFORM_ROLE = "platform_role", _("Platform role")
    PLATFORM_KEY = "platform_key", _("Platform key")


class AccessDecision(models.TextChoices):
    """What was decided about a line; ``ended``: its access ended otherwise before a decision."""

    OPEN = "open", _("Open")
    KEEP = "keep", _("Keep")
    REVOKE = "revoke", _("Revoke")
    ENDED = "ended", _("Ended otherwise")


class AccessReviewLine(OptionalTenantModel):
    """One member, role, key or account as it was at the snapshot, and the decision about it.

    ``person`` is the id of the user whose access it is, or who issued the key.
    """

    review = models.ForeignKey(AccessReview, models.CASCADE, verbose_name=_("access review"), related_name="lines")
    kind = models.CharField(_("kind"), max_length=13, choices=AccessKind)
    object_id = models.CharField(_("object id"), max_length=40)
    subject = models.CharField(_("subject"), max_length=200)
    role = models.CharField(_("role"), max_length=50, blank=True)
    grants = models.JSONField(
        _("grants"), help_text=_("Scopes of a key; rights and limits of a role of the tenant's own.")
    )
    person = models.CharField(_("person"), max_length=40, blank=True)
    given_at = models.DateTimeField(_("given at"), null=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True)
    decision = models.CharField(_("decision"), max_length=6, choices=AccessDecision, default=AccessDecision.OPEN)
    note = models.CharField(_("note"), max_length=500, blank=True)
    is_own = models.BooleanField(
        _("own"), default=False, help_text=_("Decided by the person whose access it is, as there was no other.")
    )
    decided_by = models.CharField(_("decided by"), max_length=200, blank=True)
    decided_at = models.DateTimeField(_("decided at"), null=True)

    class Meta:
        db_table = "tenants_access_review_line"
        ordering = ["id"]
        verbose_name = _("line of an access review")
        verbose_name_plural = _("lines of access reviews")
        constraints = [
            models.UniqueConstraint(fields=["review", "kind", "object_id"], name="access_review_line_once"),
            models.CheckConstraint(
                condition=Q(decision="open", decided_by="", decided_at=None)
                | Q(~Q(decision="open"), ~Q(decided_by=""), decided_at__isnull=False),
                name="access_review_line_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"
