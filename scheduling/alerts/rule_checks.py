"""Checks of an alert rule before it is stored."""

from __future__ import annotations

from math import isfinite
from zoneinfo import available_timezones

from scheduling.alerts.measures import measure_of, measures
from scheduling.alerts.rules import RuleFacts, find_faults
from scheduling.log_search.measures import find_query_faults
from scheduling.models import AlertRule
from tenants.database.reads import from_row
from tenants.exceptions import FieldInvalidError
from tenants.translation import translate


def check_rule(rule: AlertRule) -> None:
    """Raise `FieldInvalidError`, with all faults, if the rule cannot be evaluated or is of no use."""
    measure = measure_of(rule.measure)
    for name in ("threshold", "clear_threshold"):
        if not isfinite(getattr(rule, name) or 0.0):
            raise FieldInvalidError(f"{name}: {translate('It must be a finite number.')}")
    found = find_faults(from_row(RuleFacts, rule), floor=measure.floor, most=measure.most)
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
        errors = [{"field": name, "code": "field_invalid", "detail": text} for name, text in faults]
        raise FieldInvalidError(f"{faults[0][0]}: {faults[0][1]}", errors=errors)
