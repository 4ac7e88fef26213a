"""Command that lists anomalies."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.anomalies.words import describe, name_series
from scheduling.models import Anomaly
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant

MOST = 200


class Command(PlatformCommand):
    help = "List the newest anomalies of the platform and of all tenants; open ones by default."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--all", action="store_true", help="also those that have ended")
        parser.add_argument("--tenant", help="the slug of a tenant: only anomalies of its series")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            rows = Anomaly.objects.select_related("tenant").order_by("-id")
            rows = rows if options["all"] else rows.filter(ended_at=None)
            rows = rows.filter(tenant=find_tenant(options["tenant"])) if options["tenant"] else rows
            found = list(rows[:MOST])
            slugs = name_series(found)
            names = [f"{one.scope}:{slugs.get(one.name, one.name)}" for one in found]
        lines = [
            f"{name} {one.measure} {one.score:+.1f} since {one.began_at:%F %T}: {describe(one)}"
            for one, name in zip(found, names, strict=True)
        ]
        shown = ("measure", "is_change", "value", "low", "high", "score", "began_at", "seen_at", "ended_at")
        facts = [
            {
                "series": name,
                "tenant": one.tenant and one.tenant.slug,
                **{field: getattr(one, field) for field in shown},
            }
            for one, name in zip(found, names, strict=True)
        ]
        self.show(options, facts, "\n".join(lines) or "No anomalies.")
