"""Checks of alert rules before they are stored: a useless one is refused, a doubtful one has to be confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any
from zoneinfo import available_timezones

from scheduling.alerts.backtest import Backtest, backtest
from scheduling.alerts.exceptions import AlertRuleDoubtfulError
from scheduling.alerts.measures import measure_of, measures
from scheduling.alerts.rules import find_faults
from scheduling.configuration.service import Configured
from scheduling.log_search.measures import find_query_faults
from scheduling.models import AlertRule
from tenants.context import current_tenant_id
from tenants.database.clock import read_clock
from tenants.exceptions import FieldInvalidError
from tenants.tenancy.changes import Difference, assign
from tenants.translation import translate

# A change of the other fields needs no backtest.
CONDITION = (
    "measure", "per", "log_query", "only_kind", "only_queue", "only_tenant", "comparison", "threshold",
    "clear_threshold", "for_seconds", "clear_seconds", "active_days", "active_from", "active_until", "zone",
)  # fmt: skip


def check_rule(rule: AlertRule) -> None:
    """Raise `FieldInvalidError`, with all faults, if the rule cannot be evaluated or is of no use."""
    measure = measure_of(rule.measure)
    for name in ("threshold", "clear_threshold"):
        if not isfinite(getattr(rule, name) or 0.0):
            raise FieldInvalidError.at(name, translate("It must be a finite number."))
    found = find_faults(rule, floor=measure.floor, most=measure.most)
    faults = [(fault.field, fault.text) for fault in found]
    allowed = measure.per if rule.tenant_id is None else measure.tenants_per
    if rule.per not in allowed:
        text = translate("This measure has values per: %(allowed)s.", {"allowed": ", ".join(allowed) or "–"})
        faults.append(("per", text))
    faults += find_query_faults(rule)
    if rule.zone not in available_timezones():
        faults.append(("zone", translate("Use the name of a time zone, such as Europe/Berlin.")))
    if set(rule.inhibits) - measures().keys():
        faults.append(("inhibits", translate("Use names of measures: %(names)s.", {"names": ", ".join(measures())})))
    if (rule.escalate_to is None) != (rule.escalate_minutes is None):
        faults.append(("escalate_to", translate("Give the group and the minutes, or neither.")))
    if rule.escalate_to is not None and rule.escalate_to.tenant_id != rule.tenant_id:
        faults.append(("escalate_to", translate("The group belongs to another tenant.")))
    if rule.tenant_id is not None and (rule.only_tenant is not None or rule.notifies_tenant):
        faults.append(("only_tenant", translate("A rule of a tenant is about this tenant only.")))
    if faults:
        raise FieldInvalidError.at(*faults[0], *faults[1:])


def preview_rule(values: Mapping[str, Any]) -> Backtest:
    """Return the backtest of a rule with these values, without storing it; raise `FieldInvalidError` as `check_rule`.

    Values of other fields than the condition's are left out.
    """
    rule = AlertRule(tenant_id=current_tenant_id())
    assign(rule, {name: value for name, value in values.items() if name in CONDITION})
    check_rule(rule)
    return backtest(rule)


def _assign_rule(rule: AlertRule, values: dict[str, Any]) -> Difference:
    """Set the values of a rule and, if its condition changes, the result of its backtest.

    Raise `AlertRuleDoubtfulError` if the backtest warns and the values do not confirm the rule.
    """
    is_confirmed = values.pop("confirm", False)
    difference = assign(rule, values)
    if rule._state.adding or difference.after.keys() & set(CONDITION):
        check_rule(rule)
        found = backtest(rule)
        if found.warning and not is_confirmed:
            raise AlertRuleDoubtfulError(f"{found.warning} {found.sentence}")
        since = found.since and found.since.isoformat()
        rule.backtest = {"verdict": found.verdict, "count": found.count, "since": since}
        rule.changed_at = read_clock()
    return difference


RULES = Configured(
    AlertRule,
    (
        "name", *CONDITION, "severity", "escalate_minutes", "escalate_to", "notifies_tenant", "inhibits", "runbook",
        "is_enabled", "confirm",
    ),
    check_rule,
    _assign_rule,
)  # fmt: skip
