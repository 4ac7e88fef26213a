"""Command that finds the suspects for the cause of an alert or of failures."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from scheduling.investigation.service import investigate
from scheduling.models import Investigation
from tenants.context import all_tenants
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Find the suspects for the cause of an alert, or of failures with a fingerprint, most likely first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        subject = parser.add_mutually_exclusive_group(required=True)
        subject.add_argument("alert", type=UUID, nargs="?", help="the alert's id, as `list_alerts` prints it")
        subject.add_argument("--error", default="", help="the fingerprint of failures")

    def handle(self, *args: Any, **options: Any) -> None:
        with all_tenants():
            row = investigate(Investigation(alert=options["alert"], fingerprint=options["error"]))
        lines = [f"{one['score']:.2f} {one['at'] or '':32} {one['title']}" for one in row.suspects]
        if row.evidence["unread"]:
            lines.append(f"Not read in time: {', '.join(row.evidence['unread'])}.")
        facts = {"id": row.pk, "label": row.label, "suspects": row.suspects, "evidence": row.evidence}
        self.show(options, facts, "\n".join([row.label, *lines]))
