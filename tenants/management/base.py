"""Base of the commands that call services."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.approvals.service import storing_requests
from tenants.context import acting_as, command_actor
from tenants.exceptions import DomainError


class PlatformCommand(BaseCommand):
    """Command whose changes are audited under its name and which reports a DomainError as a CommandError."""

    json_help = "print the result as JSON"
    # `manage.py check` runs Django's, which import all URLs and pages.
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the command's parser, with the argument --json."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument("--json", action="store_true", help=self.json_help)
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; raise CommandError with the code, the detail and the faults of a DomainError."""
        try:
            with acting_as(command_actor(type(self).__module__.rpartition(".")[2])), storing_requests():
                return super().execute(*args, **options)
        except DomainError as error:
            faults = [": ".join(filter(None, (fault.get("field"), fault["detail"]))) for fault in error.errors]
            # The detail of an error with one fault is often the fault itself.
            others = [fault for fault in faults if fault != str(error.detail)]
            raise CommandError("\n  ".join([f"{error.code}: {error.detail}", *others])) from error

    def show(self, options: dict[str, Any], facts: Any, text: str) -> None:
        """Print the facts as JSON if --json is given, else the text."""
        self.stdout.write(json.dumps(facts, ensure_ascii=False, default=str) if options["json"] else text)
