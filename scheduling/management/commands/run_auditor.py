"""Command that runs the auditor, the process that hash-chains and signs the audit log."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from scheduling.conf import PROCESSOR_INVALID, SCHEMA_INVALID
from scheduling.fleet.serving import ServingCommand
from scheduling.fleet.supervisor import stop_event
from scheduling.models import ProcessHeartbeat
from scheduling.upkeep.auditor import AuditorLoop
from scheduling.worker.watchdog import Watchdog
from tenants.audit.auditor import auditor_login
from tenants.audit.signing import SigningKeyMissingError, public_key_text, require_signing_key

# Check of a missing SECRET_KEY, which only sessions need.
_NO_SESSIONS = "jobsplatform.E004"


class Command(ServingCommand):
    # It runs no processors and serves no sessions.
    bears = frozenset({PROCESSOR_INVALID, SCHEMA_INVALID, _NO_SESSIONS})
    help = (
        "Hash-chain, sign and prune the audit log until stopped (SIGTERM, Ctrl-C), with the login of "
        "DATABASE_AUDITOR_URL and the key AUDIT_SIGNING_KEY, which no other process needs. Several may run; "
        "each turn is run by one of them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--public-key", action="store_true", help="only print the public key of AUDIT_SIGNING_KEY")

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Switch to the auditor's database login before the start-up checks connect."""
        try:
            if options["public_key"]:
                (options.get("stdout") or self.stdout).write(f"{public_key_text()}\n")
                return None
            require_signing_key()
            with auditor_login():
                return super().execute(*args, **options)
        except (ImproperlyConfigured, SigningKeyMissingError) as error:
            raise CommandError(str(error)) from error

    def handle(self, *args: Any, **options: Any) -> None:
        stopped, watchdog = stop_event(), Watchdog(ProcessHeartbeat.Role.AUDITOR)
        try:
            AuditorLoop(stopped, watchdog.add("auditor").turn).run()
        finally:
            watchdog.stop()
