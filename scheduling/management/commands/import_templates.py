"""Command that creates or changes a tenant's job templates by a YAML file."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import CommandError
from django.db import transaction

from scheduling.jobs.job_templates.exceptions import JobTemplateNotFoundError
from scheduling.jobs.job_templates.queries import get_template_by_name
from scheduling.jobs.job_templates.serializers import NewTemplateSerializer
from scheduling.jobs.job_templates.service import add_version, create_template, update_template
from tenants.api.strict_json import parse_json
from tenants.context import tenant_context
from tenants.exceptions import JsonInvalidError
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant

MAX_FILE_BYTES = 4 * 1024 * 1024


class Command(PlatformCommand):
    help = "Create or change a tenant's job templates by a file of export_templates; all of it, or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a YAML file")
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant's slug")
        parser.add_argument("--reason", default="", help="kept with the versions and in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        with transaction.atomic():
            done = {row["name"]: _store(tenant, row, options["reason"]) for row in _read(options["file"])}
        lines = [f"{name}: {outcome}" for name, outcome in done.items()]
        self.show(options, done, "\n".join(lines) or "The file has no templates.")


def _read(file: Path) -> list[dict[str, Any]]:
    """Return the templates of a file, validated as the API validates them; raise CommandError for a fault."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise CommandError(f"The file has more than {MAX_FILE_BYTES:,} bytes.")
        text = file.read_text("utf-8")
        # A few aliases of aliases are a document of any size.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise CommandError("The file must not use YAML aliases (*name).")
        document = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise CommandError(f"{file} cannot be read: {error}") from error
    rows = document.get("templates") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise CommandError("The file must have a list `templates`, as export_templates writes it.")
    return [NewTemplateSerializer.of(_as_body(row)).to_values() for row in rows]


def _as_body(row: Any) -> Any:
    """Return a template as the API would read it from a body; raise CommandError for what JSON cannot hold."""
    try:
        return parse_json(json.dumps(row).encode())
    except (TypeError, ValueError, RecursionError, JsonInvalidError) as error:
        raise CommandError(f"A template is not JSON, in which dates are quoted: {error}") from error


def _store(tenant: Tenant, row: dict[str, Any], reason: str) -> str:
    row["reason"] = reason or row["reason"]
    with tenant_context(tenant):
        try:
            template = get_template_by_name(row["name"])
        except JobTemplateNotFoundError:
            create_template(tenant=tenant, **row)
            return "created"
        update_template(template=template, **{key: row[key] for key in ("description", "runners") if key in row})
        version = add_version(template=template, content=row["content"], reason=row["reason"])
        return "unchanged" if version is None else f"version {version.number}"
