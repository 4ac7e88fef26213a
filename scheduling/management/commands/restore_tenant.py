"""Command that restores one tenant from a backup."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.backups.restore import check_restore
from scheduling.backups.target import Target
from scheduling.backups.tenant_restore import find_backup, require_restorable, restore_tenant
from tenants.context import all_tenants
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Replace the rows and files of a suspended tenant by those of the newest backup taken at or before a time. Ids "
        "stay; its audit log goes on with an entry about it; members, API keys and secrets are not changed. Work since "
        "the backup is lost."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--at", type=moment, required=True, metavar="TIME", help="the time, in ISO 8601")
        parser.add_argument(
            "--from", required=True, metavar="TARGET", dest="source", help="folder, or s3://BUCKET/PREFIX"
        )
        parser.add_argument("--reason", default="", help="the reason, for the audit log")
        parser.add_argument("--dry-run", action="store_true", help="verify the backup, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        target, slug, at = Target(options["source"]), options["tenant"], options["at"]
        manifest = find_backup(target, at)
        facts = {"tenant": slug, "backup": manifest.name, "taken_at": manifest.taken_at}
        words = f"{manifest.name}, taken {at - manifest.taken_at} before {at:%F %T %Z}"
        if options["dry_run"]:
            check_restore(target, manifest.name)
            with all_tenants():
                require_restorable(slug)
            self.show(options, facts, f"{slug} would be restored from {words}.")
            return
        rows, files = restore_tenant(target, manifest, slug, reason=options["reason"])
        text = (
            f"{slug} is restored from {words}: {sum(rows.values()):,} rows, {files:,} files. "
            f"It is still suspended: manage.py reinstate_tenant {slug}"
        )
        self.show(options, {**facts, "rows": rows, "files": files}, text)
