"""Command that deletes a tenant completely."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandParser

from tenants.context import all_tenants
from tenants.erasure.proof import find_erasure
from tenants.erasure.requests import cancel_erasure, request_erasure
from tenants.erasure.steps import advance
from tenants.holds.service import refuse_if_held
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

    def handle(self, *args: Any, **options: Any) -> None:
        erasure = self._act(options)
        facts: dict[str, Any] = {name: getattr(erasure, name) for name in ("status", "proof", "proof_sha256")}
        facts |= {"id": str(erasure.pk), "starts_at": erasure.starts_at.isoformat()}
        self.show(options, facts, _describe(erasure))

    def _act(self, options: dict[str, Any]) -> TenantErasure:
        tenant = find_tenant(options["slug"])
        if options["cancel"]:
            return cancel_erasure(erasure_id=find_erasure(subject_id=tenant.pk).pk, reason=options["reason"])
        erasure = request_erasure(tenant=tenant, reason=options["reason"], confirm=options["confirm"])
        while options["wait"] and erasure.is_open:
            if not advance(erasure.pk):
                with all_tenants():
                    refuse_if_held(tenant.pk)
                time.sleep(LOOK_SECONDS)
            erasure = find_erasure(erasure_id=erasure.pk)
        return erasure


def _describe(erasure: TenantErasure) -> str:
    if erasure.proof is None:
        return f"{erasure} is {erasure.status}; it starts at {erasure.starts_at.isoformat()}."
    lines = [
        f"{name}: {counts['before']:,} before, {counts['after']:,} after"
        for name, counts in erasure.proof["counts"].items()
        if counts["before"] or counts["removed"]
    ]
    return "\n".join([*lines, f"{erasure} is completed. SHA-256 of its proof: {erasure.proof_sha256}"])
