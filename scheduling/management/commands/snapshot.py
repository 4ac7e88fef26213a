"""Command that writes the state of all open jobs of one moment to a signed file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from scheduling.backups.exceptions import RestoreTargetExistsError
from scheduling.backups.state_snapshot import take_snapshot, verify_snapshot
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = (
        "Write states, checkpoints and live executions of all open jobs of one moment to a new file of JSON lines, "
        "signed with AUDIT_SIGNING_KEY; with --verify, check such a file."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("out", type=Path, metavar="OUT", help="the file; it is not replaced")
        parser.add_argument("--tenant", metavar="SLUG", help="the only tenant (default: all)")
        acts = parser.add_mutually_exclusive_group()
        acts.add_argument("--verify", action="store_true", help="check hash and signature of the file")
        acts.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        path = options["out"]
        if options["verify"]:
            jobs = verify_snapshot(path)
            self.show(options, {"jobs": jobs}, f"{path} is whole and signed: {jobs:,} jobs.")
            return
        tenant = find_tenant(options["tenant"]) if options["tenant"] else None
        if options["dry_run"]:
            if path.exists():
                raise RestoreTargetExistsError("The file %(path)s exists.", {"path": str(path)})
            self.show(options, {"path": str(path)}, f"The open jobs of {tenant or 'all tenants'} would be in {path}.")
            return
        row = take_snapshot(path, tenant)
        facts = {"path": str(path), "taken_at": row.taken_at, "jobs": row.row_count, "bytes": row.size_bytes}
        self.show(options, facts, f"{path}: {row.row_count:,} jobs, {row.size_bytes:,} bytes.")
