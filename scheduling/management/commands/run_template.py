"""Command that submits a job by a template."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from scheduling.jobs.job_templates.queries import get_template_by_name
from scheduling.jobs.job_templates.service import run_template
from tenants.api.strict_json import parse_json
from tenants.context import tenant_context
from tenants.exceptions import DomainError
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand
from tenants.tenancy.queries import find_tenant


class Command(PlatformCommand):
    help = "Submit a job by a job template, such as run_template acme/nightly --set date=2026-11-01."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("template", metavar="TENANT/NAME", help="the tenant's slug and the template's name")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            type=_assignment,
            metavar="NAME=VALUE",
            help="value of a parameter, JSON or else a text; may be repeated",
        )
        parser.add_argument("--at-version", type=int, metavar="NUMBER", help="default: the version in effect")
        parser.add_argument("--run-at", type=moment, metavar="TIME", help="earliest start (default: now)")
        parser.add_argument("--idempotency-key", help="a repeated key submits no second job")

    def handle(self, *args: Any, **options: Any) -> None:
        slug, _, name = options["template"].partition("/")
        if not name:
            raise CommandError("Name the template as TENANT/NAME, such as acme/nightly.")
        own = {key: options[key] for key in ("run_at", "idempotency_key") if options[key] is not None}
        with tenant_context(find_tenant(slug)):
            template = get_template_by_name(name)
            submission = run_template(
                template=template, values=dict(options["set"]), version=options["at_version"], **own
            )
        job = submission.job
        facts = {"id": str(job.id), "kind": job.kind, "state": job.state, "created": submission.created}
        self.show(options, facts, f"{job.id} {job.state}")


def _assignment(text: str) -> tuple[str, Any]:
    """Return the name and the value of an argument; raise ArgumentTypeError without "="."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ArgumentTypeError("Write a parameter as NAME=VALUE.")
    try:
        return name, parse_json(value.encode("utf-8", "surrogateescape"))
    except DomainError:
        return name, value
