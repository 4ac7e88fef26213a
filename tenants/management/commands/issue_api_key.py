"""Issue an API key and print it, once."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.context import Actor, acting_as
from tenants.exceptions import DomainError
from tenants.selectors.tenants import find_tenant
from tenants.services.api_keys import issue_api_key


class Command(BaseCommand):
    help = "Issue an API key of a tenant and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("tenant", help="the tenant's slug")
        parser.add_argument("--name", default="command line", help="what the key is for")
        parser.add_argument("--json", action="store_true", help="print the key with its id as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with acting_as(Actor(kind="command", label="issue_api_key")):
                issued = issue_api_key(tenant=find_tenant(options["tenant"]), name=options["name"])
        except DomainError as error:
            raise CommandError(error.detail) from error
        if options["json"]:
            facts = {"id": str(issued.key.pk), "tenant": options["tenant"], "name": issued.key.name}
            self.stdout.write(json.dumps({**facts, "token": issued.token}, ensure_ascii=False))
        else:
            self.stdout.write(issued.token)
