"""Command that writes an evidence pack: signed extracts of the audit log and its surroundings for a standard."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from scheduling.evidence.controls import TEMPLATES
from scheduling.evidence.packs import build_pack, check_pack
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = (
        "Write the evidence of a period into a new folder: JSON lines for each section, one printable page, and a "
        "manifest signed with AUDIT_SIGNING_KEY. scheduling/evidence/verify_evidence.py verifies the folder without "
        "the platform. Exit status 1 if a hash chain has a fault; the pack is written and names it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--template", required=True, choices=sorted(TEMPLATES), help="the standard")
        parser.add_argument("--from", required=True, type=moment, dest="since", help="beginning, as 2026-01-01T00:00Z")
        parser.add_argument("--to", required=True, type=moment, dest="until", help="end, which is not included")
        parser.add_argument("--tenant", metavar="SLUG", help="the only tenant (default: the platform, with all)")
        parser.add_argument("--output", required=True, type=Path, metavar="FOLDER", help="a new or empty folder")
        parser.add_argument("--allow-empty", action="store_true", help="accept a period without audit entries")
        parser.add_argument("--dry-run", action="store_true", help="check period and folder, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"]) if options["tenant"] else None
        wanted: dict[str, Any] = {name: options[name] for name in ("since", "until")}
        wanted |= {"tenant": tenant, "is_empty_allowed": options["allow_empty"]}
        folder, template = options["output"], TEMPLATES[options["template"]]
        if options["dry_run"]:
            check_pack(folder, **wanted)
            self.show(options, {"folder": str(folder)}, f"The pack would be in {folder}.")
            return
        manifest = build_pack(folder, template=template, **wanted)
        rows = {part["name"]: part["rows"] for part in manifest["sections"]}
        facts = {"folder": str(folder), "rows": rows, "chains": manifest["chains"], "faults": manifest["faults"]}
        self.show(options, facts, f"{folder}: {rows['audit_log']:,} audit entries, {manifest['faults']} faults.")
        if manifest["faults"]:
            raise CommandError(f"The hash chains have {manifest['faults']} faults; run verify audit.")
