"""Self-diagnosis of the platform: runs checks, each with a measurement and, if it fails, a hint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, connection
from django.utils.translation import gettext

from scheduling.breakers.queries import count_open_circuits
from scheduling.diagnosis.checks import (
    Check,
    Health,
    check_child_limits,
    check_circuits,
    check_flow,
    check_foreign_process,
    check_kinds,
    check_locked_tenants,
    check_refused,
    check_sandboxes,
    check_site,
)
from scheduling.dispatch import broker_probes
from scheduling.dispatch.locked_tenants import read_locked_tenants
from scheduling.exceptions import BrokerUnavailableError
from scheduling.fleet.announced_kinds import unknown_kinds_of
from scheduling.fleet.auditors import find_auditor_fault
from scheduling.fleet.queries import Liveness, LivePool, find_foreign_process, live_workers, read_liveness
from scheduling.fleet.queue_consumers import queues_without_consumer
from scheduling.models import ProcessHeartbeat, QueueGauge, RollupClock, WorkerPool
from scheduling.statistics.throughput import STALE_AFTER
from scheduling.upkeep.status import UpkeepStatus, read_upkeep, upkeep_warning_of
from tenants.checks import find_role_faults
from tenants.context import all_tenants
from tenants.database.clock import read_clock
from tenants.database.pending_migrations import count_pending_migrations
from tenants.database.platform_settings import platform_settings

__all__ = ["RECOUNTS", "Check", "Diagnosis", "Health", "check_clock", "check_consumers", "diagnose"]

# Upkeep tasks that recount live counters.
RECOUNTS = ("verify_counters", "verify_rollups")

# Decisions use the database's time; a process's own clock dates its ids and logs.
SKEW_WARNING_SECONDS = 2.0
SKEW_FAILURE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All checks that have run; a check comes after those that it depends on."""

    checks: list[Check]

    @property
    def state(self) -> Health:
        """Return the worst result of the checks."""
        states = {check.state for check in self.checks}
        return next(state for state in (Health.FAILURE, Health.WARNING, Health.OK) if state in states)


def diagnose() -> Diagnosis:
    """Run all checks; if the database does not respond, only those of database and broker."""
    try:
        checks = [*_database_checks(), *check_flow(), *_liveness_checks(), *_number_checks()]
    except DatabaseError as error:
        connection.close()
        hint = gettext("Start PostgreSQL, or correct DATABASE_URL.")
        fault = gettext("does not respond: %(error)s") % {"error": type(error).__name__}
        checks = [Check("database", gettext("database"), Health.FAILURE, fault, hint)]
    return Diagnosis([*checks, *_broker_checks()])


def _database_checks() -> Iterator[Check]:
    connection.ensure_connection()
    yield Check("database", gettext("database"), Health.OK, gettext("responds"))
    faults = find_role_faults(connection)
    yield Check(
        "database_role",
        gettext("database role"),
        Health.FAILURE if faults else Health.OK,
        " ".join(faults) or gettext("row-level security enforced"),
        gettext("Log in as the application's role; `manage.py bootstrap_database` creates it.") if faults else "",
    )
    pending = count_pending_migrations()
    yield Check(
        "migrations",
        gettext("migrations"),
        Health.FAILURE if pending else Health.OK,
        gettext("%(count)s are not applied") % {"count": pending} if pending else gettext("all are applied"),
        gettext("Run `manage.py migrate` with DATABASE_OWNER_URL set.") if pending else "",
    )


def _broker_checks() -> Iterator[Check]:
    try:
        policy = broker_probes.read_eviction_policy()
    except BrokerUnavailableError:
        yield Check(
            "broker",
            gettext("broker"),
            Health.FAILURE,
            gettext("does not respond"),
            gettext("Start Redis, or correct REDIS_URL. Until then jobs are accepted and wait."),
        )
        return
    yield Check("broker", gettext("broker"), Health.OK, gettext("responds"))
    is_safe = policy == "noeviction"
    yield Check(
        "eviction_policy",
        gettext("eviction policy"),
        Health.OK if is_safe else Health.FAILURE,
        policy,
        "" if is_safe else gettext("Set maxmemory-policy noeviction: under pressure the broker would drop messages."),
    )


def _liveness_checks() -> Iterator[Check]:
    with all_tenants():
        liveness = read_liveness()
        workers = list(live_workers().select_related("pool"))
        circuits = count_open_circuits()
        locked = read_locked_tenants()
        unknown = unknown_kinds_of(WorkerPool.objects.all(), read_clock())
        foreign = find_foreign_process()
        lapse = find_auditor_fault()
    yield _heartbeat_check(liveness, ProcessHeartbeat.Role.DISPATCHER, gettext("Start `manage.py dispatch_jobs`."))
    yield _heartbeat_check(liveness, ProcessHeartbeat.Role.BEAT, gettext("Start `celery --app jobsplatform beat`."))
    yield Check(
        "auditor",
        gettext("auditor"),
        Health.FAILURE if lapse else Health.OK,
        lapse or gettext("audit entries are hash-chained and signed"),
        gettext("Start `manage.py run_auditor` with DATABASE_AUDITOR_URL and AUDIT_SIGNING_KEY.") if lapse else "",
    )
    for pool in liveness.pools:
        yield _workers_check(pool)
        if pool.workers and platform_settings.CANARY_INTERVAL_SECONDS:
            yield _canary_check(pool)
    yield check_consumers()
    yield check_kinds(unknown)
    yield check_locked_tenants(locked)
    yield from check_sandboxes(workers)
    yield from check_child_limits(workers)
    yield check_foreign_process(foreign)
    yield from check_site()
    yield check_circuits(circuits)
    yield check_clock(liveness.worst_skew_seconds)


def _number_checks() -> Iterator[Check]:
    """Yield checks that the numbers in the console are recent and equal to a recount."""
    with all_tenants():
        now = read_clock()
        folded_at = RollupClock.objects.values_list("folded_at", flat=True).first()
        sampled_at = QueueGauge.objects.order_by("-minute").values_list("sampled_at", flat=True).first()
        recounts = [line for line in read_upkeep() if line.task.name in RECOUNTS]
    yield _age_check("rollup_lag", gettext("rollup lag"), now, folded_at)
    yield _age_check("gauge_lag", gettext("gauge lag"), now, sampled_at)
    for line in recounts:
        yield _recount_check(line)
    yield check_refused()


def _age_check(code: str, name: str, now: datetime, written_at: datetime | None) -> Check:
    hint = gettext("Start `manage.py dispatch_jobs`: a dispatcher updates them every second or two.")
    if written_at is None:
        return Check(code, name, Health.WARNING, gettext("nothing has been counted yet"), hint)
    is_young = now - written_at <= STALE_AFTER
    measured = _ago((now - written_at).total_seconds())
    return Check(code, name, Health.OK if is_young else Health.FAILURE, measured, "" if is_young else hint)


def _recount_check(line: UpkeepStatus) -> Check:
    name = gettext("recount: %(task)s") % {"task": gettext(line.task.title).lower()}
    warning = upkeep_warning_of(line)
    if warning is not None:
        state = Health.FAILURE if warning.code == "failed" else Health.WARNING
        hint = gettext(
            "See Queues & workers → Upkeep, or `manage.py run_upkeep %(task)s`; then `manage.py verify`."
        ) % {"task": line.task.name}
        return Check(f"recount.{line.task.name}", name, state, warning.detail, hint)
    if line.succeeded_at is None:
        return Check(f"recount.{line.task.name}", name, Health.OK, gettext("not yet: beat starts it within the hour"))
    minutes = (line.now - line.succeeded_at).total_seconds() / 60
    return Check(
        f"recount.{line.task.name}",
        name,
        Health.OK,
        gettext("equal, %(minutes)s min ago") % {"minutes": f"{minutes:.0f}"},
    )


def _heartbeat_check(liveness: Liveness, role: ProcessHeartbeat.Role, hint: str) -> Check:
    age = liveness.process_ages.get(role)
    if age is None:
        return Check(role.value, _role_words(role), Health.FAILURE, gettext("no heartbeat within a day"), hint)
    is_alive = age <= platform_settings.LEASE_SECONDS
    return Check(
        role.value, _role_words(role), Health.OK if is_alive else Health.FAILURE, _ago(age), "" if is_alive else hint
    )


def _role_words(role: ProcessHeartbeat.Role) -> str:
    return gettext("dispatcher") if role is ProcessHeartbeat.Role.DISPATCHER else gettext("beat")


def _workers_check(pool: LivePool) -> Check:
    name = gettext("workers of %(pool)s") % {"pool": pool.name}
    if pool.workers:
        return Check(
            f"workers.{pool.name}",
            name,
            Health.OK,
            gettext("%(workers)s with %(slots)s slots") % {"workers": pool.workers, "slots": pool.slots},
        )
    if not pool.queues:
        return Check(f"workers.{pool.name}", name, Health.OK, gettext("none needed: no queue has work"))
    queues = gettext("no worker consumes %(queues)s") % {"queues": ", ".join(pool.queues)}
    return Check(f"workers.{pool.name}", name, Health.FAILURE, queues, _start_worker(pool.name))


def _start_worker(pool: str) -> str:
    return gettext("Start `manage.py run_worker --pool=%(pool)s`.") % {"pool": pool}


def check_consumers() -> Check:
    """Check that a live worker consumes every queue in use, by the dispatcher's last measurement."""
    unread = queues_without_consumer()
    if not unread:
        return Check(
            "consumers", gettext("queue consumers"), Health.OK, gettext("every queue with work has a consumer")
        )
    names = ", ".join(standing.queue.name for standing in unread)
    pools = sorted({standing.queue.pool.name for standing in unread})
    hint = " ".join(map(_start_worker, pools))
    return Check(
        "consumers",
        gettext("queue consumers"),
        Health.FAILURE,
        gettext("no live worker consumes %(queues)s") % {"queues": names},
        hint,
    )


def _canary_check(pool: LivePool) -> Check:
    name = gettext("canary of %(pool)s") % {"pool": pool.name}
    age = pool.oldest_canary_seconds
    if age is None:
        return Check(
            f"canary.{pool.name}",
            name,
            Health.WARNING,
            gettext("no canary has returned yet"),
            gettext("A new worker needs a few seconds for its first canary."),
        )
    if age <= platform_settings.CANARY_LIMIT_SECONDS + platform_settings.LEASE_SECONDS:
        return Check(f"canary.{pool.name}", name, Health.OK, _ago(age))
    # Busy children read no canary, which is no fault: the worker's own watchdog decides.
    hint = gettext("All its children are busy, or it is about to restart.")
    return Check(f"canary.{pool.name}", name, Health.WARNING, _ago(age), hint)


def check_clock(skew: float | None) -> Check:
    """Check that a clock is close to the database's; it is ``skew`` seconds ahead of it."""
    if skew is None:
        return Check("clocks", gettext("clocks"), Health.OK, gettext("no process with a clock to compare is running"))
    state = Health.OK
    if abs(skew) > SKEW_WARNING_SECONDS:
        state = Health.FAILURE if abs(skew) > SKEW_FAILURE_SECONDS else Health.WARNING
    hint = "" if state is Health.OK else gettext("Synchronise the clock of that machine (chrony, systemd-timesyncd).")
    return Check(
        "clocks",
        gettext("clocks"),
        state,
        gettext("largest difference to the database: %(skew)s s") % {"skew": f"{skew:+.2f}"},
        hint,
    )


def _ago(seconds: float) -> str:
    return gettext("%(seconds)s s ago") % {"seconds": f"{max(seconds, 0.0):.1f}"}
