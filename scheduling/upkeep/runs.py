"""Runs of upkeep tasks, limited in time: take a lease, run steps until the time is up, store the result."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from scheduling import signals
from scheduling.celery import publishing
from scheduling.exceptions import BrokerUnavailableError, UpkeepBusyError, UpkeepUnavailableError
from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.upkeep import registry
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.audit.service import AuditTarget, record_audit
from tenants.context import all_tenants
from tenants.translation import LocalizableText

logger = logging.getLogger(__name__)

RUN_SECONDS = 60.0
# Longest duration of a step between two rests, if it has more than one thing to do.
PACED_STEP_SECONDS = 2.0
BATCH_ROWS = 1_000
# Renewed at each step; bounds how long a killed process blocks the next run.
LEASE = timedelta(minutes=10)
MAX_FINDINGS = 50
MAX_ERROR_CHARACTERS = 2_000
KILLED = gettext_noop("The process of this run was killed; the next run continues after its last step.")

Outcome = UpkeepRun.Outcome


class UpkeepTakenOverError(Exception):
    """The lease of a run has expired, and another process has taken the run over; committed steps stay."""


def run_upkeep(
    *, name: str, seconds: float = RUN_SECONDS, batch_rows: int = BATCH_ROWS, is_paced: bool = False
) -> UpkeepRun:
    """Run steps of a task until nothing is left or the time is up; return the run.

    With ``is_paced``, pause between steps for as long as the task's ``share`` requires. Raise UpkeepBusyError if
    another process runs the task.
    """
    task = registry.get(name)
    run = _begin(task)
    began = time.monotonic()
    run_task(task, run, seconds=seconds, batch_rows=batch_rows, share=task.share if is_paced else 1.0)
    save_run(run, finished_at=Now())
    run.refresh_from_db()
    signals.upkeep_ended.send(
        None, name=name, outcome=run.outcome, seconds=time.monotonic() - began, findings=len(run.sentences)
    )
    return run


def run_task(
    task: UpkeepTask,
    run: UpkeepRun | TenantUpkeepRun,
    *,
    seconds: float,
    batch_rows: int = BATCH_ROWS,
    share: float = 1.0,
) -> None:
    """Run steps until nothing is left or the time is up. If a step raises an error, the run has failed."""
    try:
        _take_steps(task, run, until=time.monotonic() + seconds, batch_rows=batch_rows, share=share)
    except UpkeepTakenOverError:
        raise
    except Exception as error:
        logger.exception("upkeep.failed", extra={"task_name": task.name})
        run.outcome, run.error = Outcome.FAILED, f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]


def save_run(run: UpkeepRun | TenantUpkeepRun, **columns: Any) -> None:
    """Save the run and renew its lease; raise UpkeepTakenOverError if this process has lost the lease."""
    values = {name: getattr(run, name) for name in ("outcome", "counts", "findings", "error", "cursor")}
    with all_tenants():
        own = type(run)._default_manager.filter(pk=run.pk, outcome=Outcome.RUNNING)
        if not own.update(**{**values, "lease_expires_at": Now() + LEASE, **columns}):
            raise UpkeepTakenOverError(run.name)


def has_begun_since(*, name: str, moment: datetime) -> bool:
    """Return whether a run of the task began after this moment."""
    with all_tenants():
        return UpkeepRun.objects.filter(name=name, started_at__gt=moment).exists()


def request_upkeep(*, name: str) -> None:
    """Send a message that runs the task on a maintenance worker.

    Raise UpkeepUnavailableError if the broker is unavailable.
    """
    task = registry.get(name)
    # Upkeep belongs to the platform, even if the request names a tenant.
    with all_tenants():
        record_audit(action="upkeep.requested", target=AuditTarget("scheduling.upkeep", task.name))
        try:
            publishing.publish_upkeep(name)
        except BrokerUnavailableError as error:
            # The original text contains the broker's address, which does not help the caller.
            raise UpkeepUnavailableError(
                "The broker is unavailable. Try again later, or run the task now with “manage.py run_upkeep %(task)s”.",
                {"task": name},
            ) from error


def _begin(task: UpkeepTask) -> UpkeepRun:
    """Create a run that continues where the last one stopped. If that run lost its process, mark it as failed.

    Raise UpkeepBusyError if another process runs the task.
    """
    with all_tenants():
        running = UpkeepRun.objects.filter(name=task.name, outcome=Outcome.RUNNING)
        running.filter(lease_expires_at__lt=Now()).update(
            outcome=Outcome.FAILED, error=KILLED, finished_at=F("lease_expires_at")
        )
        last = UpkeepRun.objects.filter(name=task.name).order_by("-id").first()
        run = UpkeepRun(
            name=task.name, started_at=Now(), lease_expires_at=Now() + LEASE, cursor=last.cursor if last else {}
        )
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError as error:
            raise UpkeepBusyError("Upkeep “%(name)s” is already running.", {"name": task.name}) from error
    return run


def _take_steps(
    task: UpkeepTask, run: UpkeepRun | TenantUpkeepRun, *, until: float, batch_rows: int, share: float
) -> None:
    has_more, tenant_id = True, getattr(run, "tenant_id", None)
    while has_more and run.outcome == Outcome.RUNNING:
        began = time.monotonic()
        left = max(0.0, until - began)
        seconds = left if share == 1 else min(left, PACED_STEP_SECONDS)
        step = task.step(UpkeepBudget(batch_rows, seconds, run.cursor, tenant_id))
        has_more = step.has_more
        _add(run, step)
        worked = time.monotonic() - began
        if has_more and worked < left:
            save_run(run)
            time.sleep(min(worked / share - worked, left - worked))
        if not has_more or time.monotonic() >= until:
            # A run over one tenant stays one row until the end of the walk, even with findings.
            is_failed = bool(run.findings) and not (has_more and tenant_id is not None)
            run.outcome = Outcome.FAILED if is_failed else Outcome.PARTIAL if has_more else Outcome.OK


def _add(run: UpkeepRun | TenantUpkeepRun, step: UpkeepStep) -> None:
    run.cursor = dict(step.cursor)
    run.counts = _sum(run.counts, step.counts)
    if step.findings:
        run.counts = _sum(run.counts, {"findings": len(step.findings)})
        texts = [LocalizableText(found) if isinstance(found, str) else found for found in step.findings]
        run.findings = [text.to_json() for text in [*run.sentences, *texts][:MAX_FINDINGS]]


def _sum(counts: Mapping[str, int], more: Mapping[str, int]) -> dict[str, int]:
    total = Counter(counts)
    total.update(more)
    return dict(total)
