"""The twelve faults of the soak test, and the alerts that contacts receive for each."""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import redis

from jobsplatform.embedded.valkey import ADMINISTRATOR
from tenants.limits.service import set_tenant_limit
from tests.chaos.row import Field
from tests.chaos.rows.broker_limits import configured
from tests.chaos.rows.workers import keep_busy
from tests.chaos.stack import pause, resume


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that lasts for some seconds, and prefixes of the objects of which a message names at least one."""

    name: str
    seconds: float
    objects: tuple[str, ...]
    hold: Callable[[Field], Any]
    # Whether no dispatcher is killed: without the database only the one that evaluated last knows whom to notify.
    needs_calm: bool = False


@contextmanager
def workers_stopped(field_: Field) -> Iterator[None]:
    stopped = list(field_.stack.workers)
    for worker in stopped:
        pause(worker)
    try:
        yield
    finally:
        for worker in stopped:
            resume(worker)


@contextmanager
def auditor_stopped(field_: Field) -> Iterator[None]:
    auditor = field_.stack.auditor
    assert auditor is not None
    pause(auditor)
    try:
        yield
    finally:
        resume(auditor)


@contextmanager
def broker_killed(field_: Field) -> Iterator[None]:
    field_.stack.servers.kill_broker()
    yield
    field_.stack.servers.start_broker()


@contextmanager
def broker_stopped(field_: Field) -> Iterator[None]:
    pid = field_.stack.servers.broker_pid
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


@contextmanager
def broker_full(field_: Field) -> Iterator[None]:
    with configured(field_, maxmemory=1):
        yield


@contextmanager
def broker_emptied(field_: Field) -> Iterator[None]:
    # No worker takes the messages; until the workers' leases end, jobs are dispatched.
    for worker in field_.stack.workers:
        worker.kill()
    field_.client.submit_bulk(field_.tenants[2], "noop", {}, 20)
    field_.stack.is_kept = False
    field_.stack.until(field_.view.unstarted, within=20, what="messages are published")
    field_.stack.is_kept = True
    _flush(field_)
    yield


def _flush(field_: Field) -> None:
    with redis.Redis.from_url(field_.stack.addresses.broker_url(user=ADMINISTRATOR)) as client:
        client.flushall()


@contextmanager
def database_stopped(field_: Field) -> Iterator[None]:
    field_.stack.servers.stop_postgres(signal.SIGINT)
    yield
    field_.stack.servers.start_postgres()


@contextmanager
def child_killed(field_: Field) -> Iterator[None]:
    (job_id,) = keep_busy(field_, 1)
    for job in field_.view.running():
        if job.job_id == job_id:
            os.kill(job.pid, signal.SIGKILL)
    yield


@contextmanager
def jobs_failing(field_: Field) -> Iterator[None]:
    mark = field_.stack.folder / "fails"
    mark.touch()
    payload = {"steps": 0, "fails_while": str(mark)}
    field_.client.submit_bulk(field_.tenants[2], "chaos_steps", payload, 400)
    yield
    mark.unlink()


@contextmanager
def tenant_locked(field_: Field) -> Iterator[None]:
    field_.client.submit_bulk(field_.tenants[0], "sleep", {"seconds": 0.25}, 100)
    with psycopg.connect(field_.stack.addresses.admin_url) as holder:
        for table, column in (("tenants_tenant", "id"), ("scheduling_schedulingentity", "tenant_id")):
            holder.execute(f"SELECT FROM {table} WHERE {column} = %s FOR UPDATE", [field_.tenants[0]])
        yield


@contextmanager
def limit_reached(field_: Field) -> Iterator[None]:
    tenant, key = field_.stack.tenants[1], "worker_seconds_per_month"
    set_tenant_limit(tenant=tenant, key=key, value=1, reason="chaos")
    yield
    set_tenant_limit(tenant=tenant, key=key, value=100_000_000, reason="chaos")


BROKER = ("check:Redis",)
# Those of one object are apart: an alert that fires again within ten minutes does not notify at once.
FAULTS = (
    Fault("kill -9 of a child that runs a job", 20.0, ("incident:crashed", "incident:rescued"), child_killed),
    Fault("Valkey killed for 40 s", 40.0, BROKER, broker_killed),
    Fault("all workers stopped by SIGSTOP for 45 s", 45.0, ("pool:default",), workers_stopped),
    Fault("400 jobs that fail", 60.0, ("cause:", "kind:chaos_", "queue:tasks_"), jobs_failing),
    Fault("the auditor stopped by SIGSTOP for 70 s", 70.0, ("check:auditor",), auditor_stopped),
    Fault("PostgreSQL down for 40 s", 40.0, (f"check:{platform.node()}",), database_stopped, needs_calm=True),
    Fault("Valkey stopped by SIGSTOP for 40 s", 40.0, BROKER, broker_stopped),
    Fault("FLUSHALL with messages in Valkey", 20.0, ("incident:emptied",), broker_emptied),
    Fault("a tenant's rows locked for 30 s", 30.0, ("incident:left_out",), tenant_locked),
    Fault("a tenant's monthly limit reached", 60.0, ("tenant:",), limit_reached),
    Fault("Valkey has reached maxmemory for 40 s", 40.0, BROKER, broker_full),
    Fault("all workers stopped again for 45 s", 45.0, ("pool:default",), workers_stopped),
)
