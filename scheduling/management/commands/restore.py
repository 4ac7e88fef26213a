"""Command that restores a backup into a new database."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.files.storage import FileSystemStorage, Storage, default_storage

from scheduling.backups.restore import check_restore, restore_backup
from scheduling.backups.target import Target
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Restore a backup into a new database of the server that DATABASE_OWNER_URL names, and its files. A database "
        "that exists and files that exist are never replaced. The backup is verified first: signature, key, hashes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from", required=True, metavar="TARGET", dest="source", help="folder, or s3://BUCKET/PREFIX"
        )
        parser.add_argument("--name", default="", help="the backup (default: the newest)")
        parser.add_argument("--into", required=True, metavar="DATABASE", help="name of the database to create")
        files = parser.add_mutually_exclusive_group()
        files.add_argument("--files", metavar="FOLDER", help="where files are written (default: the file storage)")
        files.add_argument("--no-files", action="store_true", help="verify the files, and write none")
        parser.add_argument("--dry-run", action="store_true", help="verify the backup, and create nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        target, into = Target(options["source"]), options["into"]
        manifest = check_restore(target, options["name"], into=into)
        facts = {"name": manifest.name, "taken_at": manifest.taken_at, "database": into, "rows": manifest.rows}
        if options["dry_run"]:
            text = f"{manifest.name} is intact: {manifest.rows:,} rows would be restored into {into}."
            self.show(options, facts, text)
            return
        files = restore_backup(target, manifest, into=into, storage=_storage_of(options))
        text = (
            f"{manifest.name} of {manifest.taken_at:%F %T} UTC is restored into {into}: {manifest.rows:,} rows, "
            f"{files:,} files. Name the database in DATABASE_URL, then start the platform."
        )
        self.show(options, {**facts, "files": files}, text)


def _storage_of(options: dict[str, Any]) -> Storage | None:
    if options["no_files"]:
        return None
    return FileSystemStorage(options["files"]) if options["files"] else default_storage
