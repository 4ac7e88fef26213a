"""Command that issues an API key and prints it once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from tenants.access.api_keys import issue_api_key
from tenants.access.permissions import DEVELOPER_KEY_SCOPES, PLATFORM_KEY_PERMISSIONS
from tenants.database.platform_settings import platform_settings
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant

# In place of a list: all scopes that a key can have of a developer's permissions.
DEVELOPER = "developer"


class Command(PlatformCommand):
    help = "Issue an API key of a tenant, or of the platform, and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("tenant", nargs="?", help="the tenant's slug")
        owner.add_argument("--platform", action="store_true", help="a key of the platform, for all tenants")
        parser.add_argument("--name", default="command line", help="the purpose of the key")
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            choices=[DEVELOPER, *sorted(PLATFORM_KEY_PERMISSIONS)],
            metavar="SCOPE",
            required=True,
            help="a permission of the key, such as jobs.submit; may be repeated; `developer`: all of a developer's",
        )
        parser.add_argument(
            "--expires-in-days", type=int, help="days until the key expires (default: 90, unless configured otherwise)"
        )
        parser.add_argument("--role", default="", help="a role of the tenant that bounds and narrows the key")
        parser.add_argument("--never-expires", action="store_true", help="the key is valid until it is revoked")
        parser.add_argument(
            "--address",
            action="append",
            default=[],
            metavar="CIDR",
            help="a network that the key is accepted from; may be repeated",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        issued = issue_api_key(
            tenant=None if options["platform"] else find_tenant(options["tenant"]),
            name=options["name"],
            scopes=_scopes(options["scopes"]),
            expires_at=_expiry(options["expires_in_days"]),
            never_expires=options["never_expires"],
            allowed_addresses=options["address"],
            role=options["role"],
        )
        key = issued.key
        facts = {
            "id": str(key.pk),
            "tenant": options["tenant"],
            "name": key.name,
            "scopes": key.scopes,
            "role": key.role,
            "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
            "token": issued.token,
        }
        self.show(options, facts, issued.token)


def _scopes(names: list[str]) -> set[str]:
    chosen = set(names)
    return chosen - {DEVELOPER} | DEVELOPER_KEY_SCOPES if DEVELOPER in chosen else chosen


def _expiry(days: int | None) -> datetime | None:
    if days is None:
        return None
    most = platform_settings.API_KEY_MAX_DAYS
    if not 1 <= days <= most:
        raise CommandError(f"--expires-in-days: give a number from 1 to {most}.")
    # Slightly less than the maximum, because seconds pass until it is checked.
    return timezone.now() + timedelta(days=days, seconds=-1)
