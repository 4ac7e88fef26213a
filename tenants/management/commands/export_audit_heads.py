"""Command that exports the signed heads of the audit log's chains, to be kept elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.audit.export_file import cut_torn_line, read_heads
from tenants.audit.heads import last_heads
from tenants.exceptions import DomainError


class Command(BaseCommand):
    requires_system_checks = ()
    help = (
        "Print the last signed head of each audit chain as JSON lines. With --out append the heads that the file "
        "lacks. Store the file where the database's administrators cannot write."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, help="a file to append to (default: print)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._write(options["out"])
        except (DomainError, OSError) as error:
            raise CommandError(str(error)) from error

    def _write(self, out: Path | None) -> None:
        if out is None:
            for head in last_heads():
                self.stdout.write(json.dumps(head))
            return
        if out.exists():
            cut_torn_line(out)
        kept = {(head["chain"], head["sequence"], head["kind"]) for head in read_heads(out)} if out.exists() else set()
        fresh = [head for head in last_heads() if (head["chain"], head["sequence"], head["kind"]) not in kept]
        with out.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(head) + "\n" for head in fresh)
        self.stderr.write(f"{len(fresh)} heads appended to {out}.")
