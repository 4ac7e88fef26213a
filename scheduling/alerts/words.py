"""Alerts in words: their values, thresholds and objects."""

from __future__ import annotations

from datetime import timedelta

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from scheduling.alerts.models import COMPARISONS
from scheduling.alerts.rules import Per
from scheduling.console.links import kind_link, queue_link
from scheduling.console.wording import duration_words, percent_words
from scheduling.models import Alert, AlertSilence
from tenants.console.links import console_link, tenant_link
from tenants.context import require_scope
from tenants.models import Tenant

# Measures whose values are parts of 1.
SHARES = ("failure_rate", "share", "eta_error")
# Pages of the platform, without one for each object.
_PAGES = {
    Per.CHECK: "diagnosis",
    Per.POOL: "scheduling_workerpool_changelist",
    Per.TASK: "scheduling_upkeeprun_changelist",
}


def value_words(alert: Alert, value: float) -> str:
    """Return a value of the alert's measure with its unit."""
    unit = alert.facts.get("unit", "")
    if unit == "s":
        return duration_words(timedelta(seconds=value))
    if alert.facts.get("measure") in SHARES:
        return percent_words(value)
    return f"{value:g} {unit}".strip()


def comparison_words(alert: Alert) -> str:
    """Return the condition of the alert's rule, such as "above 5 min"."""
    comparison = alert.rule.comparison if alert.rule is not None else ""
    return f"{dict(COMPARISONS).get(comparison, '')} {value_words(alert, alert.threshold)}".strip()


def object_link(alert: Alert) -> SafeString | str:
    """Return a link to the page of the alert's object, or its name if it has none."""
    kind, name = alert.object.get("type"), alert.object.get("id", "")
    if kind == Per.QUEUE:
        return queue_link(name)
    if kind == Per.KIND:
        return kind_link(name)
    if kind == Per.TENANT:
        return tenant_link(name.partition(":")[0], alert.label)
    if kind == Per.CAUSE:
        return console_link(reverse("admin:error_occurrences", args=[name]), alert.label or name)
    if kind == Per.QUERY:
        return console_link(f"{reverse('admin:logs')}?{urlencode({'q': alert.facts.get('message', '')})}", alert.label)
    if kind == Per.OBJECTIVE:
        return console_link(reverse("admin:scheduling_objective_change", args=[name]), alert.label)
    if require_scope().is_all_tenants and kind in _PAGES:
        return console_link(reverse(f"admin:{_PAGES[kind]}"), alert.label)
    return alert.label


def silenced_words(silence: AlertSilence) -> str:
    """Return the names of the objects whose alerts a silence covers."""
    of_object = Alert.objects.filter(rule=silence.rule_id, object_key=silence.object_key)
    alert = of_object.order_by("-pk").first() if silence.object_key else None
    tenant = Tenant.objects.filter(pk=silence.only_tenant).first() if silence.only_tenant else None
    parts = (alert.label if alert else silence.object_key, silence.only_kind, silence.only_queue, str(tenant or ""))
    return ", ".join(filter(None, parts)) or gettext("all")
