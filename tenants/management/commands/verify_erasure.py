"""Count again what is left of an erased tenant."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.exceptions import DomainError
from tenants.services.erasure.proof import verify_erasure


class Command(BaseCommand):
    help = "Recount, now, everything of an erased tenant, and compare its proof with its hash; exit status 1 if not."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=UUID, help="the erasure's id")
        parser.add_argument("--json", action="store_true", help="print what was found as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = verify_erasure(erasure_id=options["id"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        facts = {
            "status": found.erasure.status,
            "left": dict(found.left),
            "is_proof_intact": found.is_proof_intact,
            "is_good": found.is_good,
        }
        if options["json"]:
            self.stdout.write(json.dumps(facts))
        if not found.is_good:
            left = ", ".join(f"{name} ({number})" for name, number in found.left.items()) or "nothing"
            intact = "intact" if found.is_proof_intact else "not what was written"
            raise CommandError(f"{found.erasure} is {found.erasure.status}; left: {left}; its proof is {intact}.")
        if not options["json"]:
            self.stdout.write("Nothing is left, and the proof is as it was written.")
