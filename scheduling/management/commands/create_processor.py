"""Command that creates a package with a job kind."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from scheduling.kit.new_processor import NewProcessorError, write_processor


class Command(BaseCommand):
    help = "Create a package with a job kind: processor, schema, tests, entry point, README."
    # It writes files and uses no database.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="name of the kind and the package: lower-case letters, digits, underscores")
        parser.add_argument(
            "--path", default=".", help="folder for the package's folder; it is created if missing (default: this one)"
        )
        parser.add_argument("--async", action="store_true", dest="is_async", help="write the processor as a coroutine")
        parser.add_argument("--json", action="store_true", help="print the files as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            written = write_processor(options["name"], Path(options["path"]), is_async=options["is_async"])
        except (NewProcessorError, OSError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"files": [str(path) for path in written]}, ensure_ascii=False))
            return
        for path in written:
            self.stdout.write(f"  {path}")
        self.stdout.write(
            f"Next: read {written[1]}, and `pip install` the package where web, dispatchers and workers run."
        )
