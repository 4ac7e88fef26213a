"""Command that re-encrypts all data keys by the current master key, or replaces them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from tenants.encryption.service import FIRST, replace_keys, require_master_key, rewrap_keys
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = (
        "Rewrap every data key by the first key of ENCRYPTION_MASTER_KEYS; no value is rewritten, and the "
        "command may be repeated. Afterwards the former master key is no longer needed. With --new-data-keys, "
        "new data keys also seal all later values."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--new-data-keys", action="store_true", help="create a new data key for each tenant")
        parser.add_argument("--tenant", help="with --new-data-keys: only for this tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tenant"] and not options["new_data_keys"]:
            raise CommandError("--tenant requires --new-data-keys: the master key is changed for all tenants.")
        require_master_key()
        tenant = find_tenant(slug=options["tenant"]) if options["tenant"] else None
        facts = {"rewrapped": _rewrap(), "replaced": _replace(tenant) if options["new_data_keys"] else 0}
        self.show(options, facts, f"{facts['rewrapped']:,} data keys were rewrapped, {facts['replaced']:,} replaced.")


def _rewrap() -> int:
    page, total = rewrap_keys(), 0
    while page.last is not None:
        total += page.changed
        page = rewrap_keys(after=page.last)
    return total


def _replace(tenant: Tenant | None) -> int:
    after, total = FIRST, 0
    while (page := replace_keys(after=after, tenant=tenant)).last is not None:
        after, total = page.last, total + page.changed
    return total
