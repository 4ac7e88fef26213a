"""Command that deletes a tenant completely."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import CommandParser

from tenants.erasure.proof import find_erasure
from tenants.erasure.requests import cancel_erasure, request_erasure
from tenants.erasure.steps import advance
from tenants.management.base import PlatformCommand
from tenants.models import TenantErasure
from tenants.tenancy.queries import find_tenant

LOOK_SECONDS = 0.5


class Command(PlatformCommand):
    help = (
        "Delete a suspended tenant with all its rows, files and keys, and print the proof. The erasure starts "
        "after the grace period (ERASURE_GRACE_SECONDS); upkeep runs it, or this command with --wait."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="the tenant's slug")
        parser.add_argument("--reason", required=True, help="why; stored in the record of the erasure")
        parser.add_argument("--confirm", required=True, metavar="SLUG", help="the slug again")
        parser.add_argument(
            "--wait", action="store_true", help="run the erasure in this command, including the grace period"
        )
        parser.add_argument("--cancel", action="store_true", help="cancel an erasure that has not started")
        parser.add_argument("--json", action="store_true", help="print the record as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        erasure = self._act(options)
        self._print(erasure, options)

    def _act(self, options: dict[str, Any]) -> TenantErasure:
        tenant = find_tenant(options["slug"])
        if options["cancel"]:
            return cancel_erasure(erasure_id=find_erasure(subject_id=tenant.pk).pk, reason=options["reason"])
        erasure = request_erasure(tenant=tenant, reason=options["reason"], confirm=options["confirm"])
        while options["wait"] and erasure.is_open:
            if not advance(erasure.pk):
                time.sleep(LOOK_SECONDS)
            erasure = find_erasure(erasure_id=erasure.pk)
        return erasure

    def _print(self, erasure: TenantErasure, options: dict[str, Any]) -> None:
        if options["json"]:
            facts: dict[str, Any] = {
                "id": str(erasure.pk),
                "status": erasure.status,
                "starts_at": erasure.starts_at.isoformat(),
            }
            facts |= {"proof": erasure.proof, "proof_sha256": erasure.proof_sha256}
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        elif erasure.proof is None:
            self.stdout.write(f"{erasure} is {erasure.status}; it starts at {erasure.starts_at.isoformat()}.")
        else:
            for name, counts in erasure.proof["counts"].items():
                if counts["before"] or counts["removed"]:
                    self.stdout.write(f"{name}: {counts['before']:,} before, {counts['after']:,} after")
            self.stdout.write(f"{erasure} is completed. SHA-256 of its proof: {erasure.proof_sha256}")
