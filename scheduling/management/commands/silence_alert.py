"""Command that silences an alert."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any
from uuid import UUID

from scheduling.alerts.acts import silence
from scheduling.alerts.words import silenced_words
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Silence an alert: alerts of its rule for its object send no notifications for a time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alert", type=UUID, help="the alert's id, as `list_alerts` prints it")
        parser.add_argument("--minutes", type=int, default=60, help="how long (default: 60)")
        parser.add_argument("--reason", required=True, help="the reason, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            until = read_clock() + timedelta(minutes=options["minutes"])
            row = silence(alert_id=options["alert"], until=until, reason=options["reason"])
            name = silenced_words(row)
        text = f"{name} is silent until {row.ends_at:%F %T} UTC."
        self.show(options, {"id": row.pk, "object": row.object_key, "ends_at": row.ends_at}, text)
