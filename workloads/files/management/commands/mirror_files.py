"""Command that copies stored files from the storage of another site."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.db import Error, connection

from scheduling.fleet.supervisor import stop_event
from tenants.exceptions import DomainError
from tenants.management.arguments import positive
from tenants.management.base import PlatformCommand
from workloads.files.mirror import Mirror, MirrorRound


class Command(PlatformCommand):
    help = (
        "Copy the stored files that this site's database has and its storage lacks from the storage of another site, "
        "each verified by its hash. The database is only read. Exit status 1 while files are missing. Interrupted, it "
        "goes on at the next call."
    )
    json_help = "print the numbers as JSON, an object for each round"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            required=True,
            dest="source",
            metavar="SOURCE",
            help="storage of the other site: a folder, or s3://BUCKET/PREFIX with the credentials of boto3",
        )
        parser.add_argument(
            "--watch",
            type=positive,
            metavar="SECONDS",
            help="go on until SIGTERM: look for new files so many seconds after each round",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be copied, and copy nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        mirror = Mirror(options["source"], is_dry=options["dry_run"])
        if options["watch"]:
            is_complete = self._watch(mirror, options)
        else:
            is_complete = self._report(mirror.run_round(self._note), options)
        if not is_complete:
            sys.exit(1)

    def _watch(self, mirror: Mirror, options: dict[str, Any]) -> bool:
        """Run rounds until stopped, whatever is away meanwhile; return whether the last one left nothing missing."""
        stopped, is_complete = stop_event(), False
        while not stopped.is_set():
            try:
                is_complete = self._report(mirror.run_round(self._note, stopped.is_set), options)
            except (DomainError, Error) as error:
                self._note(f"{error} Tried again in {options['watch']} s.")
                connection.close()
                is_complete = False
            stopped.wait(options["watch"])
        return is_complete

    def _report(self, done: MirrorRound, options: dict[str, Any]) -> bool:
        facts = asdict(done)
        del facts["first_missing"]
        verb = "would be copied" if options["dry_run"] else "copied"
        summary = (
            f"{done.contents:,} contents: {done.copied:,} {verb} ({done.copied_bytes:,} bytes), "
            f"{done.missing:,} missing here."
        )
        self.show(options, facts, "\n".join([*done.faults, summary]))
        return done.is_whole and not done.missing

    def _note(self, text: str) -> None:
        self.stderr.write(text)
