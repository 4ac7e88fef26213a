"""Command that makes a backup of the database and the stored files."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.backups.service import make_backup, require_tools
from scheduling.backups.target import Target
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Make a backup of the database and the stored files, of one moment, encrypted with the first of "
        "ENCRYPTION_MASTER_KEYS and signed with AUDIT_SIGNING_KEY. Each backup is a new folder at the target; none is "
        "replaced."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", required=True, metavar="TARGET", help="folder, or s3://BUCKET/PREFIX")
        parser.add_argument("--no-files", action="store_true", help="leave out the stored files")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        target = Target(options["to"])
        if options["dry_run"]:
            tools, names = require_tools(), target.names()
            facts = {"target": target.address, "backups": names, "server": tools.server_version, "dump": tools.dump}
            text = f"A backup would be added to the {len(names)} of {target.address}, with {tools.dump}."
            self.show(options, facts, text)
            return
        made = make_backup(target, has_files=not options["no_files"])
        facts = {"name": made.name, "taken_at": made.taken_at, "bytes": made.size, "rows": made.rows}
        text = (
            f"{made.name}: {made.rows:,} rows of {len(made.tables)} tables, {made.files:,} files, {made.size:,} bytes."
        )
        self.show(options, {**facts, "files": made.files, "missing_files": made.missing_files}, text)
