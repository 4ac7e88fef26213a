"""Command that lists alerts."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.alerts.queries import OPEN, find_alerts
from scheduling.models import Alert
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant

MOST = 200


class Command(PlatformCommand):
    help = "List the newest alerts, of the platform and of all tenants; those that are not resolved by default."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--state", choices=["open", *Alert.State.values], default="open", help="their state")
        parser.add_argument("--tenant", help="the slug of the tenant that they belong to or are about")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            is_open = options["state"] == "open"
            rows = find_alerts().filter(OPEN) if is_open else find_alerts().filter(state=options["state"])
            if options["tenant"]:
                tenant = find_tenant(options["tenant"])
                rows = rows.filter(tenant=tenant) | rows.filter(about_tenant=tenant.pk)
            alerts = list(rows.order_by("-pk")[:MOST])
        lines = [
            f"{one.pk} {one.state} {one.severity} {one}: {one.value:g} since {one.pending_at:%F %T}" for one in alerts
        ]
        self.show(options, [_facts(alert) for alert in alerts], "\n".join(lines) or "No alerts.")


def _facts(alert: Alert) -> dict[str, Any]:
    names = ("rule_name", "severity", "state", "object_key", "value", "threshold", "pending_at", "fired_at")
    return {"id": alert.pk, **{name: getattr(alert, name) for name in names}}
