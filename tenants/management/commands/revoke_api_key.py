"""Command that revokes an API key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.access.api_keys import revoke_api_key
from tenants.access.key_queries import find_api_key
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = "Revoke an API key by its prefix, effective from the next request."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", help="the part of the key before its dot")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        key = find_api_key(options["prefix"])
        if key is None:
            raise CommandError(f"There is no key with the prefix {options['prefix']!r}.")
        key = revoke_api_key(api_key=key, reason=options["reason"])
        revoked_at = key.revoked_at.isoformat() if key.revoked_at else None
        self.show(
            options,
            {"prefix": key.prefix, "name": key.name, "revoked_at": revoked_at},
            f"The key {key} is revoked.",
        )
