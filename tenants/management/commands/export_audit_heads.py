"""Sign where the chains of the audit log stand, and write it down for keeping elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.audit_exports import cut_torn_line, read_heads
from tenants.exceptions import DomainError
from tenants.services.audit_heads import last_heads, sign_heads
from tenants.signing import SigningKeyMissingError, is_signing_key_given, public_key_text


class Command(BaseCommand):
    help = (
        "Sign the heads of all chains of the audit log and print them as JSON lines. With --out the heads that the"
        " file does not hold yet are appended. Keep the file where the database's administrators cannot write."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", type=Path, help="a file to append to (default: print)")
        parser.add_argument("--public-key", action="store_true", help="print the public key and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["public_key"]:
                self.stdout.write(public_key_text())
                return
            if not is_signing_key_given():
                self.stderr.write("Signed by a key derived from SECRET_KEY, for development: set AUDIT_SIGNING_KEY.")
            sign_heads()
            self._write(options["out"])
        except (DomainError, OSError, SigningKeyMissingError) as error:
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
