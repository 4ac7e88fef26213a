"""Command that acknowledges an alert."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from scheduling.alerts.acts import acknowledge
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Acknowledge an open alert, so that it does not escalate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("alert", type=UUID, help="the alert's id, as `list_alerts` prints it")
        parser.add_argument("--note", default="", help="a note, shown with the alert")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            alert = acknowledge(alert_id=options["alert"], note=options["note"])
        self.show(options, {"id": alert.pk, "acknowledged_by": alert.acknowledged_by}, f"{alert} is acknowledged.")
