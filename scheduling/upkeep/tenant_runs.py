"""Runs of upkeep over one tenant: stored on request, then continued by workers for a few seconds at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from scheduling.celery import publishing
from scheduling.consistency.chains import NO_PLACE
from scheduling.exceptions import BrokerUnavailableError, UpkeepBusyError, UpkeepUnknownError
from scheduling.models import TenantUpkeepRun
from scheduling.upkeep import registry
from scheduling.upkeep.registry import UpkeepTask
from scheduling.upkeep.runs import LEASE, run_task, save_run
from tenants.audit.chain_queries import estimate_seals
from tenants.audit.service import mask_text, record_audit
from tenants.context import all_tenants, current_actor, tenant_context
from tenants.models import Tenant
from tenants.translation import LocalizableText

logger = logging.getLogger(__name__)

AUDIT_TASK: Final = "verify_audit"
# Time of one message: the queue alternates between the runs of several tenants.
RUN_SECONDS: Final = 5.0
# A run that no worker has continued for this long is published again.
IDLE: Final = timedelta(seconds=60)
MAX_REPUBLISHED: Final = 100

Outcome = TenantUpkeepRun.Outcome


@dataclass(frozen=True, slots=True)
class RequestedRun:
    """The run that answers a request, and whether the request created it."""

    run: TenantUpkeepRun
    is_new: bool


@dataclass(frozen=True, slots=True)
class RunFinding:
    """A fault that a run found, with its position in the audit log's chain if it has one."""

    code: str
    text: str
    chain: str | None = None
    sequence: int | None = None
    entry: str | None = None


def request_tenant_run(*, name: str, tenant: Tenant) -> RequestedRun:
    """Create a run of a task over a tenant and send it to the workers, or return the unfinished run.

    Raise UpkeepUnknownError for a task that cannot run over one tenant. If the broker is unavailable, only log it: the
    run is stored, and is sent again within a minute.
    """
    known = [task.name for task in registry.tasks() if task.tenant_permission is not None]
    if name not in known:
        raise UpkeepUnknownError(
            "There is no upkeep task %(name)r; there are: %(known)s.", {"name": name, "known": ", ".join(known)}
        )
    with tenant_context(tenant):
        run = TenantUpkeepRun.objects.filter(name=name, outcome__in=TenantUpkeepRun.OPEN).first()
        if run is not None:
            return RequestedRun(run, is_new=False)
        run = TenantUpkeepRun(
            tenant=tenant,
            name=name,
            requested_by=mask_text(current_actor().label)[:200],
            requested_at=Now(),
            lease_expires_at=Now(),
            counts={"expected_seals": estimate_seals(tenant.pk)} if name == AUDIT_TASK else {},
        )
        try:
            with transaction.atomic():
                run.save(force_insert=True)
        except IntegrityError:
            # Another request was faster; its run may have ended since.
            return RequestedRun(TenantUpkeepRun.objects.filter(name=name).latest("id"), is_new=False)
        run.refresh_from_db()
        record_audit(action="upkeep.requested", target=run, after={"task": name})
        transaction.on_commit(partial(_publish, name, tenant.pk))
    return RequestedRun(run, is_new=True)


def findings_of(run: TenantUpkeepRun) -> list[RunFinding]:
    """Return the stored examples of the faults that a run found, in the active language."""
    return [found for sentence in run.sentences for found in _examples_in(sentence)]


def count_findings(run: TenantUpkeepRun) -> int:
    """Return the number of faults that a run found; examples are stored only of some."""
    return sum(int(sentence.values.get("count", 1)) for sentence in run.sentences)


def run_tenant_upkeep(*, name: str, tenant_id: UUID, seconds: float = RUN_SECONDS) -> TenantUpkeepRun:
    """Run steps of a tenant's unfinished run for at most ``seconds``; return the run.

    Raise UpkeepBusyError if there is no unfinished run, or if another process continues it.
    """
    task = registry.get(name)
    run = _resume(task, tenant_id)
    run_task(task, run, seconds=seconds)
    if run.is_open:
        save_run(run, lease_expires_at=Now())
    else:
        save_run(run, finished_at=Now())
    with all_tenants():
        run.refresh_from_db()
    return run


def republish_idle_runs() -> int:
    """Send messages for unfinished runs that no worker has continued for IDLE; return how many."""
    with all_tenants():
        idle = TenantUpkeepRun.objects.filter(outcome__in=TenantUpkeepRun.OPEN, lease_expires_at__lt=Now() - IDLE)
        found = list(idle.order_by("lease_expires_at").values_list("name", "tenant_id")[:MAX_REPUBLISHED])
    for name, tenant_id in found:
        _publish(name, tenant_id)
    return len(found)


def _resume(task: UpkeepTask, tenant_id: UUID) -> TenantUpkeepRun:
    """Take the lease of the tenant's unfinished run; raise UpkeepBusyError if another process holds it."""
    with all_tenants():
        runs = TenantUpkeepRun.objects.filter(name=task.name, tenant_id=tenant_id, outcome__in=TenantUpkeepRun.OPEN)
        idle = runs.filter(~Q(outcome=Outcome.RUNNING) | Q(lease_expires_at__lt=Now()))
        if not idle.update(
            outcome=Outcome.RUNNING, started_at=Coalesce("started_at", Now()), lease_expires_at=Now() + LEASE
        ):
            raise UpkeepBusyError("Upkeep “%(name)s” is already running.", {"name": task.name})
        return runs.get()


def _publish(name: str, tenant_id: UUID) -> None:
    try:
        publishing.publish_upkeep(name, tenant_id)
    except BrokerUnavailableError:
        logger.warning("upkeep.not_published", exc_info=True)


def _examples_in(sentence: LocalizableText) -> Iterator[RunFinding]:
    examples = [example for example in sentence.values.get("examples", ()) if isinstance(example, LocalizableText)]
    if not examples:
        yield RunFinding(str(sentence.values.get("code", "")), sentence.localized)
    for example in examples:
        values = example.values
        detail, sequence, entry = (values.get(name) for name in ("detail", "sequence", "entry"))
        yield RunFinding(
            code=str(values.get("kind", sentence.values.get("code", ""))),
            text=detail.localized if isinstance(detail, LocalizableText) else example.localized,
            chain=values.get("chain"),
            sequence=sequence if isinstance(sequence, int) else None,
            entry=None if entry == NO_PLACE else entry,
        )
