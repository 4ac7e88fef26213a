"""The processor of the kind `reconciliation`: it lists the differences between an external system and the platform."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urljoin
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.compensation.models import Compensation
from scheduling.compensation.reconciling import DONE, OPEN, UNDONE, ListInvalidError, compare, read_page
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState
from scheduling.kit.base import (
    MAX_DEPENDENCY_CHARACTERS,
    AsyncJobContext,
    AsyncTaskProcessor,
    Complete,
    PermanentError,
    TransientError,
)
from scheduling.kit.http import Limits, open_headers, read_target, send_async
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.database.clock import read_clock
from tenants.database.ids import uuid7_floor

LIMITS: Final = Limits(body_bytes=4 * 1024 * 1024, redirects=0)
MAX_PAGES: Final = 200
MAX_KEYS: Final = 100_000


class Reconciliation(AsyncTaskProcessor):
    """Processor of the kind `reconciliation`."""

    kind = "reconciliation"
    title = gettext_noop("Reconciliation")
    description = gettext_noop(
        "Compares the effects that an external system lists, by idempotency key, with the jobs of a kind."
    )
    payload_schema = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "maxLength": 4_000, "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"},
            "headers": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 8_192}},
            "kind": {"type": "string", "minLength": 1, "maxLength": 64},
            "since_hours": {"type": "number", "exclusiveMinimum": 0, "maximum": 720},
        },
        "required": ["url", "kind"],
        "additionalProperties": False,
    }
    secret_fields = ("headers",)
    timeout_seconds = 600.0
    has_circuit = False

    async def process(self, context: AsyncJobContext) -> Complete:  # type: ignore[override]  # as its base does
        hours = float(context.payload.get("since_hours", 24))
        # Read before what is outside: a job that ends meanwhile is not taken for one that has ended before.
        here = await context.run(read_here, context.tenant_id, context.payload["kind"], hours)
        outside = await self._read_outside(context)
        found = compare(outside, here)
        total = sum(found.counts.values())
        context.log("reconciled", level="warning" if total else "info", differences=total)
        return Complete({"outside": len(outside), "here": len(here), "differences": found.counts, "keys": found.keys})

    async def _read_outside(self, context: AsyncJobContext) -> dict[str, str]:
        url: str | None = context.payload["url"]
        found: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            assert url is not None
            items, following = await _read(context, url)
            found.update(items)
            if len(found) > MAX_KEYS:
                raise PermanentError(f"More than {MAX_KEYS:,} keys are listed.", code="too_many_keys")
            if following is None:
                return found
            url = urljoin(url, following)
            await context.should_yield()
        raise PermanentError(f"More than {MAX_PAGES} pages are listed.", code="too_many_pages")


async def _read(context: AsyncJobContext, url: str) -> tuple[list[tuple[str, str]], str | None]:
    async with context.dependency(read_target(url).authority[:MAX_DEPENDENCY_CHARACTERS]):
        given = [*context.payload.get("headers", {}).items()]
        headers = await context.run(open_headers, context.tenant_id, context.payload["url"], given)
        answer = await send_async("GET", url, headers=headers, limits=LIMITS)
        if answer.status >= 500 or answer.status == 429:
            message = f"The list was answered with the status {answer.status}."
            raise TransientError(message, code=f"http_{answer.status}", retry_after_seconds=answer.retry_after_seconds)
    if answer.status != 200 or answer.is_cut:
        fault = f"The list was answered with the status {answer.status}, or is longer than 4 MiB."
        raise PermanentError(fault, code="list_invalid")
    try:
        content: Any = json.loads(answer.body)
        return read_page(content)
    except (ValueError, RecursionError, ListInvalidError) as error:
        raise PermanentError(str(error), code="list_invalid") from error


def read_here(tenant_id: UUID, kind: str, hours: float) -> dict[str, str]:
    """Return the state of each job of a kind, by its idempotency key: `done`, `undone` or `open`.

    A job that was compensated, or has ended without being completed, is undone; one that has not ended is open.
    """
    with tenant_context(tenant_id):
        since = uuid7_floor(read_clock() - timedelta(hours=hours))
        rows = Job.objects.filter(kind=kind, pk__gte=since).order_by("pk").values_list("pk", "state")[: MAX_KEYS + 1]
        states = {str(job_id): _state_of(state) for job_id, state in rows}
        over = (Compensation.State.COMPENSATED, Compensation.State.SETTLED)
        undone = Compensation.objects.filter(owner_type=Compensation.Owner.BATCH, pk__gte=since)
        works = [*undone.values_list("work", "state")]
    if len(states) > MAX_KEYS:
        raise PermanentError(f"There are more than {MAX_KEYS:,} jobs: choose a shorter time.", code="too_many_keys")
    for work, state in works:
        if work in states:
            states[work] = UNDONE if state in over else OPEN
    return states


def _state_of(state: str) -> str:
    if state == JobState.COMPLETED:
        return DONE
    return UNDONE if state in TERMINAL_STATES else OPEN
