"""Command that prints a tenant's job templates as YAML."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import yaml

from scheduling.jobs.job_templates.queries import find_templates
from scheduling.jobs.job_templates.service import TEMPLATES
from tenants.context import tenant_context
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Print a tenant's job templates as YAML, for import_templates."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant's slug")
        parser.add_argument("names", nargs="*", metavar="NAME", help="only these templates")

    def handle(self, *args: Any, **options: Any) -> None:
        with tenant_context(find_tenant(options["tenant"])):
            found = find_templates()
            rows = found.filter(name__in=options["names"]) if options["names"] else found
            facts = [
                {
                    "name": template.name,
                    "description": template.description,
                    "runners": list(template.runners),
                    "content": TEMPLATES.describe(template),
                }
                for template in rows
            ]
        text = yaml.safe_dump({"templates": facts}, sort_keys=False, allow_unicode=True)
        self.show(options, facts, text.rstrip())
