"""Command that submits one job, and optionally waits for its end."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from scheduling.jobs.job_keys.models import UniqueUntil
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import get_job
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job
from tenants.api.strict_json import parse_json
from tenants.context import tenant_context
from tenants.exceptions import DomainError
from tenants.management.arguments import moment
from tenants.management.base import PlatformCommand
from tenants.models import Tenant
from tenants.tenancy.queries import find_tenant

POLL_SECONDS = 0.1


class Command(PlatformCommand):
    help = "Submit one job. With --wait, also print its result; exit status 0 means that it completed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", help="the job's kind")
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="the tenant's slug")
        parser.add_argument("--payload", type=json_object, default={}, metavar="JSON", help="a JSON object")
        parser.add_argument("--priority", type=int, help="default: the tenant's setting")
        parser.add_argument("--run-at", type=moment, metavar="TIME", help="earliest start (default: now)")
        parser.add_argument(
            "--deadline", type=moment, metavar="TIME", help="discard the job unless it has completed by then"
        )
        parser.add_argument("--fair-key", default="", help="owner inside the tenant, such as a user or an app")
        parser.add_argument("--concurrency-key", default="", help="bounds how many jobs with it run at once")
        parser.add_argument("--unique-key", default="", help="while a job has it, no second job is submitted")
        parser.add_argument("--unique-until", default="", choices=UniqueUntil.values, help="default: ended")
        parser.add_argument("--tag", action="append", default=[], help="may be repeated")
        parser.add_argument("--meta", type=json_object, default={}, metavar="JSON", help="shown with the job")
        parser.add_argument("--queue", help="default: by the routing rules")
        parser.add_argument("--max-retries", type=int, help="default: the kind's")
        parser.add_argument("--idempotency-key", help="a repeated key submits no second job")
        parser.add_argument("--wait", action="store_true", help="wait until the job has ended")
        parser.add_argument(
            "--timeout",
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="time limit of --wait (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = find_tenant(options["tenant"])
        job = submit_job(tenant=tenant, request=_request(options)).job
        if not options["wait"]:
            self._print(job, options)
            return
        job = _wait(tenant, job.id, options["timeout"])
        self._print(job, options)
        if job.state != JobState.COMPLETED:
            raise CommandError(f"The job is {job.state}. {job.error_message}".strip())
        if not options["json"]:
            self.stdout.write(_result_text(job))

    def _print(self, job: Job, options: dict[str, Any]) -> None:
        error = {"type": job.error_type, "message": job.error_message} if job.error_type else None
        facts = {"id": str(job.id), "kind": job.kind, "state": job.state, "error": error}
        # Decrypted only if it is shown: this process may have no key.
        self.show(options, facts | ({"result": job.result} if options["json"] else {}), f"{job.id} {job.state}")


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object in a command-line argument; raise ArgumentTypeError if it is not one."""
    try:
        value = parse_json(text.encode("utf-8", "surrogateescape"))
    except DomainError as error:
        raise ArgumentTypeError(error.detail) from error
    if not isinstance(value, dict):
        raise ArgumentTypeError("The payload must be a JSON object.")
    return value


def _result_text(job: Job) -> str:
    """Return the result as JSON, or the reason why this process cannot decrypt it: the job has completed anyway."""
    try:
        return json.dumps(job.result, ensure_ascii=False)
    except DomainError as error:
        return f"{error.code}: {error.detail}"


def _request(options: dict[str, Any]) -> JobRequest:
    return JobRequest(
        kind=options["kind"],
        payload=options["payload"],
        priority=options["priority"],
        run_at=options["run_at"],
        deadline=options["deadline"],
        fair_key=options["fair_key"],
        concurrency_key=options["concurrency_key"],
        unique_key=options["unique_key"],
        unique_until=options["unique_until"],
        tags=tuple(options["tag"]),
        meta=options["meta"],
        queue=options["queue"],
        max_retries=options["max_retries"],
        idempotency_key=options["idempotency_key"],
    )


def _wait(tenant: Tenant, job_id: UUID, timeout_seconds: float) -> Job:
    """Return the job when it has ended; raise CommandError after ``timeout_seconds``."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        with tenant_context(tenant):
            job = get_job(job_id)
        if job.is_terminal:
            return job
        if time.monotonic() >= give_up_at:
            raise CommandError(f"The job {job_id} is still {job.state} after {timeout_seconds:g} s.")
        time.sleep(POLL_SECONDS)
