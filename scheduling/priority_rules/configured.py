"""Configuration of priority rules."""

from __future__ import annotations

from django.utils.translation import gettext

from scheduling.configuration.service import Configured
from scheduling.kit import registry
from scheduling.priority_rules.models import PriorityRule
from tenants.exceptions import FieldInvalidError


def check_priority_rule(rule: PriorityRule) -> None:
    """Raise FieldInvalidError for a rule that would do nothing."""
    faults = (
        (
            not (rule.kind or rule.failure_percent),
            "kind",
            gettext("Name a kind or a failure share: jobs of a tenant that are all moved alike keep their order."),
        ),
        (rule.kind and rule.kind not in registry.kinds(), "kind", gettext("There is no such kind of jobs.")),
        (not rule.offset_seconds, "offset_seconds", gettext("An offset of 0 moves no job.")),
    )
    for is_fault, field, text in faults:
        if is_fault:
            raise FieldInvalidError.at(field, text)


PRIORITY_RULES = Configured(
    PriorityRule,
    ("name", "position", "from_level", "kind", "tier", "failure_percent", "offset_seconds", "is_enabled"),
    check_priority_rule,
    most=20,
)
