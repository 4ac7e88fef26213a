"""Checks of the self-diagnosis about the flow of jobs, locked tenants, refused rows and the sandbox."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models.functions import Now
from django.utils.translation import gettext

from scheduling.conf import UPKEEP_QUEUE
from scheduling.diagnosis.starts import STALLED_AFTER, find_stalled_pools
from scheduling.dispatch.locked_tenants import LockedTenant
from scheduling.fleet.announced_kinds import UnknownKind
from scheduling.jobs.routing.strategies import find_unusable
from scheduling.jobs.routing.strategy_calls import NoChoice
from scheduling.jobs.waits.missing_keys import MissingKey, find_missing_keys
from scheduling.jobs.waits.start_conditions import TICK_AGE
from scheduling.models import PoolClock, SettledRefused, Worker, WorkerPool
from scheduling.sandbox.layers import missing_of
from scheduling.sites.queries import find_site_fault
from scheduling.worker.child_limits import NONE
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.database.write_probe import localize_write_fault, write_watch


class Health(StrEnum):
    """Result of a check: ok, warning or failure."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Check:
    """A check that has run: its result, what it measured, and what to do if it is not ok.

    ``code`` is the same in every language; what it is about comes after a full stop.
    """

    code: str
    name: str
    state: Health
    measured: str
    hint: str = ""


# Delay of the second look at a stall: a job made ready at this moment is none.
SECOND_LOOK_SECONDS = 1.0


def check_flow() -> Iterator[Check]:
    """Yield checks of the flow of jobs: writes, publishing to the broker, starts of jobs, data keys, strategies."""
    yield _check_writes()
    with all_tenants():
        recent = PoolClock.objects.filter(publish_failed_at__gt=Now() - TICK_AGE).order_by("pool__name")
        refused = dict(recent.values_list("pool__name", "publish_fault"))
        missing, unusable = find_missing_keys(), find_unusable()
    yield _check_publishing(refused)
    yield _check_starts()
    yield _check_keys(missing)
    yield from _check_strategies(unusable)


def _check_writes() -> Check:
    if fault := write_watch.read():
        hint = gettext(
            "Make room on the disks of PostgreSQL, or point DATABASE_URL at the primary. No job is accepted."
        )
        return Check("writes", gettext("writes"), Health.FAILURE, localize_write_fault(fault), hint)
    return Check("writes", gettext("writes"), Health.OK, gettext("the database accepts writes"))


def _check_publishing(refused: dict[str, str]) -> Check:
    if not refused:
        return Check(
            "publishing", gettext("publishing"), Health.OK, gettext("the broker accepted every recent message")
        )
    faults = ", ".join(f"{pool} ({fault})" for pool, fault in refused.items())
    return Check(
        "publishing",
        gettext("publishing"),
        Health.FAILURE,
        gettext("the broker rejects messages of %(faults)s") % {"faults": faults},
        gettext("Fix the fault of Redis: memory, disk, role of a replica, rights of the user. No job is lost."),
    )


def _check_starts() -> Check:
    seconds = f"{STALLED_AFTER.total_seconds():.0f}"
    stalled = set(find_stalled_pools())
    if stalled:
        time.sleep(SECOND_LOOK_SECONDS)
        stalled &= set(find_stalled_pools())
    if not stalled:
        return Check(
            "starts",
            gettext("starts"),
            Health.OK,
            gettext("no job has waited %(seconds)s s while slots were free or no worker was online")
            % {"seconds": seconds},
        )
    return Check(
        "starts",
        gettext("starts"),
        Health.FAILURE,
        gettext(
            "jobs wait in %(pools)s and none has started for %(seconds)s s, although slots are free or because "
            "no worker is online"
        )
        % {"seconds": seconds, "pools": ", ".join(sorted(stalled))},
        gettext(
            "See the other checks. If they pass, restart the workers of the pool, then its dispatchers. No job is lost."
        ),
    )


def _check_keys(missing: Sequence[MissingKey]) -> Check:
    name = gettext("data keys")
    if not missing:
        return Check("data_keys", name, Health.OK, gettext("no job waits for one"))
    waits = [
        gettext("%(count)s jobs of %(tenant)s wait for data key %(key)s")
        % {"count": each.jobs, "tenant": each.tenant, "key": each.key_id}
        for each in missing
    ]
    hint = gettext(
        "Restore the row of tenants_tenantdatakey, or the master key in ENCRYPTION_MASTER_KEYS; the "
        "jobs then run within ten minutes. Otherwise cancel them, or set DATA_KEY_MISSING_HOURS."
    )
    return Check("data_keys", name, Health.FAILURE, "; ".join(waits), hint)


def _check_strategies(faults: Mapping[str, NoChoice]) -> Iterator[Check]:
    """Yield one check of the routing strategies of active rules; nothing if all of them can be used."""
    if faults:
        names = ", ".join(f"{name} ({fault.detail or fault.cause})" for name, fault in faults.items())
        measured = gettext("cannot be used: %(names)s") % {"names": names}
        hint = gettext(
            "Install the package that has the strategy, and restart the web servers. Until then its rules send jobs to "
            "the least loaded queue."
        )
        yield Check("routing_strategies", gettext("routing strategies"), Health.WARNING, measured, hint)


def check_locked_tenants(locked: Sequence[LockedTenant]) -> Check:
    """Check that no transaction has locked rows of a tenant, because dispatchers skip such a tenant."""
    name = gettext("locked tenants")
    if not locked:
        return Check("locked_tenants", name, Health.OK, gettext("no transaction blocks a tenant"))
    held = [f"{one.slug} ({one.since.isoformat(timespec='seconds')}, pid {one.server_pid or '?'})" for one in locked]
    return Check(
        "locked_tenants",
        name,
        Health.WARNING,
        gettext("rows locked by another transaction: %(tenants)s") % {"tenants": ", ".join(held)},
        gettext(
            "Find the server process in pg_stat_activity, and end it if it is not needed. Other tenants "
            "are not affected."
        ),
    )


def check_refused() -> Check:
    """Check that no settled execution was set aside because a tick could not process it."""
    with all_tenants():
        count = SettledRefused.objects.count()
        error = SettledRefused.objects.order_by("-id").values_list("error", flat=True).first()
    name = gettext("settled executions")
    if error is None:
        return Check("settled", name, Health.OK, gettext("all are counted"))
    return Check(
        "settled",
        name,
        Health.FAILURE,
        gettext("%(count)s could not be counted: %(error)s") % {"count": count, "error": error.splitlines()[0]},
        gettext("Fix the cause, then run `manage.py verify refused --repair`. Other jobs are still dispatched."),
    )


def check_sandboxes(workers: Sequence[Worker]) -> Iterator[Check]:
    """Yield one check of the sandbox on the workers' hosts; yield nothing if no worker has reported on it."""
    reporting = [worker for worker in workers if worker.sandbox]
    if not reporting:
        return
    name = gettext("extraction sandbox")
    missing_by_worker = {str(worker): missing_of(worker.sandbox["protections"]) for worker in reporting}
    unprotected = sorted(worker for worker, missing in missing_by_worker.items() if missing)
    if not unprotected:
        layers = ", ".join(sorted({layer for worker in reporting for layer in worker.sandbox["layers"]}))
        values = {"layers": layers, "workers": len(reporting)}
        yield Check("sandbox", name, Health.OK, gettext("%(layers)s on %(workers)s workers") % values)
        return
    missing = ", ".join(sorted({each for found in missing_by_worker.values() for each in found}))
    measured = gettext("%(missing)s not protected on %(workers)s") % {
        "missing": missing,
        "workers": ", ".join(unprotected),
    }
    if platform_settings.EXTRACTION_WITHOUT_SANDBOX:
        hint = gettext("Files are extracted without a sandbox: EXTRACTION_WITHOUT_SANDBOX is set.")
        yield Check("sandbox", name, Health.WARNING, measured, hint)
        return
    hint = gettext("Extraction waits there. Use a kernel with Landlock and seccomp, or set EXTRACTION_WITHOUT_SANDBOX.")
    yield Check("sandbox", name, Health.FAILURE, measured, hint)


def check_child_limits(workers: Sequence[Worker]) -> Iterator[Check]:
    """Yield one check of how the workers that run jobs in children limit these; nothing if none has reported."""
    modes = Counter(
        worker.sandbox["limits"]
        for worker in workers
        if worker.pool.resource_class != WorkerPool.ResourceClass.IO
        and UPKEEP_QUEUE not in worker.queues
        and "limits" in worker.sandbox
    )
    if not modes:
        return
    measured = ", ".join(
        gettext("%(mode)s on %(workers)s workers") % {"mode": gettext(mode), "workers": count}
        for mode, count in sorted(modes.items())
    )
    name = gettext("limits of children")
    if NONE in modes:
        hint = gettext("A job may take all memory of its host. Remove CHILD_LIMITS=off, and restart the workers.")
        yield Check("child_limits", name, Health.WARNING, measured, hint)
        return
    yield Check("child_limits", name, Health.OK, measured)


def check_kinds(unknown: Sequence[UnknownKind]) -> Check:
    """Check that no kind is unknown to the live workers: ``unknown`` are kinds whose jobs have waited five minutes."""
    name = gettext("job kinds")
    if not unknown:
        return Check("kinds", name, Health.OK, gettext("every kind with waiting jobs has a worker"))
    kinds = ", ".join(f"{each.kind} ({each.pool})" for each in unknown)
    return Check(
        "kinds",
        name,
        Health.FAILURE,
        gettext("no live worker of the pool has %(kinds)s") % {"kinds": kinds},
        gettext("Start workers of a release that has these kinds, or cancel their jobs."),
    )


def check_foreign_process(process: str) -> Check:
    """Check that no Celery process of another application has received the platform's messages recently."""
    name = gettext("foreign consumers")
    if not process:
        return Check("foreign_consumers", name, Health.OK, gettext("only workers of the platform consume its queues"))
    hint = gettext(
        "Stop this process, or let it consume other queues: only workers of `manage.py run_worker` run jobs. It "
        "returns the messages that it gets."
    )
    return Check(
        "foreign_consumers",
        name,
        Health.FAILURE,
        gettext("%(process)s consumes messages of the platform") % {"process": process},
        hint,
    )


def check_site() -> Iterator[Check]:
    """Yield one check that this site has renewed its epoch at the witness; nothing without a fault."""
    with all_tenants():
        is_held, fault = find_site_fault()
    if fault:
        hint = gettext(
            "A held site starts nothing: make SITE_WITNESS reachable, or promote the site that should be active."
        )
        yield Check("site", gettext("site"), Health.FAILURE if is_held else Health.WARNING, fault, hint)


def check_circuits(circuits: Mapping[tuple[str, str], int]) -> Check:
    """Warn about open breakers, listed by kind and shared dependency."""
    if not circuits:
        return Check("circuits", gettext("circuit breakers"), Health.OK, gettext("no breaker blocks jobs"))
    held = [
        gettext("%(count)s of %(kind)s") % {"count": count, "kind": f"{kind} ({dependency})" if dependency else kind}
        for (kind, dependency), count in circuits.items()
    ]
    hint = gettext(
        "See Failures → Circuit breakers, or run `manage.py list_circuits`, for the failures and the next probe."
    )
    return Check(
        "circuits",
        gettext("circuit breakers"),
        Health.WARNING,
        gettext("open: %(held)s") % {"held": ", ".join(sorted(held))},
        hint,
    )
