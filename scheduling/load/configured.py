"""Configuration of shedding rules."""

from __future__ import annotations

from django.utils.translation import gettext

from scheduling.configuration.service import Configured
from scheduling.kit import registry
from scheduling.load.models import Action, SheddingRule
from tenants.exceptions import FieldInvalidError


def check_shedding_rule(rule: SheddingRule) -> None:
    """Raise FieldInvalidError for a rule that would do nothing, or not what it says."""
    is_off, is_delay = rule.action == Action.OFF, rule.action == Action.DELAY
    faults = (
        (is_off != bool(rule.feature), "feature", gettext("It is for the action “off” only, which needs it.")),
        (
            is_delay != bool(rule.delay_seconds),
            "delay_seconds",
            gettext("It is for the action “delay” only, which needs it."),
        ),
        (rule.action == Action.ESSENTIAL and not rule.kind, "kind", gettext("Name the kind that is essential.")),
        (
            is_off and (rule.kind or rule.tier_id),
            "kind",
            gettext("A feature is switched off for all: leave kind and tier empty."),
        ),
        (rule.kind and rule.kind not in registry.kinds(), "kind", gettext("There is no such kind of jobs.")),
    )
    for is_fault, field, text in faults:
        if is_fault:
            raise FieldInvalidError.at(field, text)


SHEDDING_RULES = Configured(
    SheddingRule,
    ("name", "position", "from_level", "action", "tier", "kind", "feature", "delay_seconds", "is_enabled"),
    check_shedding_rule,
    most=100,
)
