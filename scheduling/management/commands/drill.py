"""Command that verifies a backup by restoring it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from scheduling.backups.drill import run_drill
from scheduling.backups.restore import check_restore
from scheduling.backups.target import Target
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Restore the newest backup into a scratch database, run the consistency checks, compare its audit log with the "
        "signed heads of the backup, run a canary job, drop the database, and record what would be lost (RPO) and how "
        "long it took (RTO). Exit status 1 if a fault is found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", required=True, metavar="TARGET", dest="source", help="folder, or s3://BUCKET/PREFIX"
        )
        parser.add_argument("--name", default="", help="the backup (default: the newest)")
        parser.add_argument("--dry-run", action="store_true", help="verify the backup, and create nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Target(options["source"])
        if options["dry_run"]:
            manifest = check_restore(target, options["name"])
            text = f"{manifest.name} is intact; it would be restored into a scratch database, checked and dropped."
            self.show(options, {"name": manifest.name}, text)
            return
        row, checks = run_drill(target, name=options["name"])
        facts = {
            "name": row.name,
            "rpo_seconds": row.loss_seconds,
            "rto_seconds": row.restore_seconds,
            "checks": checks,
            "faults": row.faults,
        }
        text = (
            f"{row.name}: {row.row_count:,} rows, {row.size_bytes:,} bytes; RPO {row.loss_seconds:.1f} s, "
            f"RTO {row.restore_seconds:.1f} s, {len(checks)} checks, {len(row.faults)} faults."
        )
        self.show(options, facts, "\n".join([text, *row.faults]))
        if row.faults:
            raise CommandError(f"{len(row.faults)} faults were found.")
