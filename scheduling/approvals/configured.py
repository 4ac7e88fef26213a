"""Configuration of the rules of approvals; a rule for the act ``policy`` guards the rules themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext

from scheduling.configuration.service import Configured
from tenants.approvals.acts import acts
from tenants.approvals.service import require_approval
from tenants.exceptions import FieldInvalidError
from tenants.models import ApprovalRule


def check_rule(rule: ApprovalRule) -> None:
    """Raise FieldInvalidError if the act cannot have a number."""
    if rule.above is not None and not acts()[rule.act].has_number:
        raise FieldInvalidError.at("above", gettext("It is for bulk operations only."))


class ApprovalRules(Configured[ApprovalRule]):
    """The rules, whose changes can need a second person, too."""

    def save(self, row: ApprovalRule, changes: Mapping[str, Any], *, reason: str = "") -> ApprovalRule:
        """Create or change a rule; raise what other rows raise, or `ApprovalRequiredError`."""
        subject = {"rule": None if row._state.adding else str(row.pk), "changes": dict(changes)}
        words = ", ".join(f"{name}: {value}" for name, value in changes.items())
        require_approval("policy", subject, preview=words)
        return super().save(row, changes, reason=reason)

    def delete(self, row: ApprovalRule, *, reason: str = "") -> None:
        """Delete a rule; raise `ApprovalRequiredError`."""
        words = gettext("Delete the rule “%(rule)s”.") % {"rule": row}
        require_approval("policy", {"deleted": str(row.pk)}, preview=words)
        super().delete(row, reason=reason)


APPROVAL_RULES = ApprovalRules(ApprovalRule, ("act", "above", "hours"), check_rule, most=100)
