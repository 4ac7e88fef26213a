"""Table of the rules that give roles for claims."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.access.models import MAX_ROLE_NAME
from tenants.database.ids import uuid7


class ClaimRule(models.Model):
    """A role that accounts of the OpenID Connect provider have by a claim: in a tenant, or in the platform."""

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    claim = models.CharField(
        _("claim"), max_length=100, help_text=_("Such as groups; realm_access.roles is a claim within another one.")
    )
    value = models.CharField(_("value"), max_length=200, help_text=_("The claim has it, or its list contains it."))
    tenant = models.ForeignKey(
        "tenants.Tenant",
        models.PROTECT,
        verbose_name=_("tenant"),
        null=True,
        blank=True,
        related_name="+",
        help_text=_("The slug of the tenant; empty: the platform."),
    )
    role = models.CharField(
        _("role"),
        max_length=MAX_ROLE_NAME,
        help_text=_(
            "owner, developer, viewer or a role of the tenant's own; admin, operator or auditor of the platform."
        ),
    )
    is_confirmed = models.BooleanField(
        _("confirmed"),
        default=False,
        help_text=_("Save the rule although none, or each, of the known accounts has this claim."),
    )

    class Meta:
        db_table = "tenants_claim_rule"
        ordering = ["claim", "value"]
        verbose_name = _("claim rule")
        verbose_name_plural = _("claim rules")
        constraints = [
            models.UniqueConstraint(fields=["claim", "value", "tenant"], name="claim_rule_unique", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.claim} = {self.value}"
