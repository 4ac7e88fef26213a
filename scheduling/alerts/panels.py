"""Parts of the pages of queues, kinds, templates and tenants: alerts that fire, and the owner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext

from scheduling.alerts.contact_models import Severity
from scheduling.alerts.queries import firing_alerts
from scheduling.alerts.words import comparison_words, value_words
from scheduling.models import Alert, AlertOwner
from tenants.access.caller import Access
from tenants.access.permissions import Permission

# Banners of one object; the list of alerts has the others.
SHOWN = 5


def read_panels(
    access: Access, target: str, names: Collection[str], *, tenant_id: UUID | None
) -> Mapping[str, Mapping[str, Any]]:
    """Return the panel of each queue, kind or template of these names, with its owner for a tenant or the platform.

    Without the right to see jobs there is none.
    """
    if not access.may(Permission.JOBS_VIEW):
        return {}
    keys = [f"{target}:{name}" for name in names]
    alerts = firing_alerts(of=Q(object__type=target, object__id__in=names) | Q(object__parents__has_any_keys=keys))
    owners = AlertOwner.objects.filter(tenant=tenant_id, target=target, name__in=names).select_related("group")
    owned = {owner.name: owner for owner in owners}
    about = [(alert, {"{type}:{id}".format_map(alert.object), *alert.object["parents"]}) for alert in alerts]
    return {
        name: {
            "banners": banners_of(alert for alert, objects in about if key in objects),
            "owner": owned.get(name),
            "add_url": f"{reverse('admin:scheduling_alertowner_add')}?{urlencode({'target': target, 'name': name})}",
            "may_manage": access.may(Permission.ALERTS_MANAGE),
        }
        for name, key in zip(names, keys, strict=True)
    }


def banners_of(alerts: Iterable[Alert]) -> list[dict[str, str]]:
    """Return the banners of alerts with their values and causes, at most SHOWN."""
    return [
        {
            "tone": "bad" if alert.severity == Severity.CRITICAL else "warn",
            "title": str(alert),
            "text": ": ".join(filter(None, (_standing(alert), alert.facts.get("message")))),
            "href": reverse("admin:scheduling_alert_change", args=[alert.pk]),
        }
        for alert in [*alerts][:SHOWN]
    ]


def _standing(alert: Alert) -> str:
    return gettext("%(value)s (alert %(comparison)s), since %(since)s UTC") % {
        "value": value_words(alert, alert.value),
        "comparison": comparison_words(alert),
        "since": f"{alert.fired_at or alert.pending_at:%Y-%m-%d %H:%M}",
    }
