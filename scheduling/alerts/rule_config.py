"""Changes of alert rules: refused if a rule is of no use, and confirmed if its backtest says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from scheduling.alerts import config
from scheduling.alerts.backtest import Backtest, backtest
from scheduling.alerts.exceptions import AlertRuleDoubtfulError
from scheduling.alerts.rule_checks import check_rule
from scheduling.alerts.rules import RuleFacts
from scheduling.models import AlertRule
from tenants.context import current_tenant_id
from tenants.database.clock import read_clock
from tenants.database.reads import from_row
from tenants.tenancy.changes import assign

# Fields that people set; a change of the others needs no backtest.
CONDITION = (
    "measure", "per", "log_query", "only_kind", "only_queue", "only_tenant", "comparison", "threshold",
    "clear_threshold", "for_seconds", "clear_seconds", "active_days", "active_from", "active_until", "zone",
)  # fmt: skip
EDITED = (
    "name", *CONDITION, "severity", "escalate_minutes", "escalate_to", "notifies_tenant", "inhibits", "runbook",
    "is_enabled",
)  # fmt: skip


def save_rule(
    rule: AlertRule, changes: Mapping[str, Any], *, reason: str = "", is_confirmed: bool = False
) -> AlertRule:
    """Create a rule, or change its fields.

    Raise `FieldInvalidError` if it can never or would always fire, and, unless ``is_confirmed``,
    `AlertRuleDoubtfulError` if its backtest says that it is of no use.
    """
    is_tested = rule._state.adding or bool(set(changes) & set(CONDITION))
    with transaction.atomic():
        saved = config.save(rule, changes, reason=reason)
        if is_tested:
            found = backtest(from_row(RuleFacts, saved))
            if found.warning and not is_confirmed:
                raise AlertRuleDoubtfulError(f"{found.warning} {found.sentence}")
            saved.backtest = {"verdict": found.verdict, "count": found.count, "since": _text(found.since)}
            saved.changed_at = read_clock()
            saved.save(update_fields=["backtest", "changed_at"])
    return saved


def preview_rule(values: Mapping[str, Any]) -> Backtest:
    """Return the backtest of a rule with these values, without storing it; raise `FieldInvalidError` as `save_rule`."""
    rule = AlertRule(tenant_id=current_tenant_id())
    assign(rule, {name: value for name, value in values.items() if name in CONDITION})
    check_rule(rule)
    return backtest(from_row(RuleFacts, rule))


def _text(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat()
