"""Complete platform on loopback: servers, web, dispatchers, workers, three tenants and a client."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import httpx
import psycopg
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.utils import InterfaceError, OperationalError
from django.test import Client as Browser

from scheduling.models import CFSPlanTier
from tenants.access.memberships import add_member
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant, update_tenant
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import START_SECONDS, Platform, is_ready
from tests.chaos.alerts import Receiver
from tests.chaos.client import Client
from tests.chaos.health_prober import Witness
from tests.chaos.history import Process
from tests.chaos.servers import HOST, LOGS, Addresses, Servers, free_port
from tests.chaos.view import View
from tests.keys import issue_api_key

LOOK_SECONDS = 0.05
# Unlimited rates of the tenants, which are not tested here.
UNLIMITED = {
    "submits_per_minute": 1_000_000,
    "submit_burst": 1_000_000,
    "max_waiting_jobs": 1_000_000,
    "worker_seconds_per_month": 100_000_000,
    "schedules.count": 10_000,
}
PLAN = "professional"
NAMES = ("acme", "globex", "initech")
WITNESS_CAP = 2
CONSOLE_PAGE = "/admin/scheduling/job/"
# Roles whose processes write heartbeats.
REPORTING = frozenset({"worker", "dispatcher", "auditor"})
_NOW = "SELECT clock_timestamp()"
_IS_TICKING = "SELECT count(*) > 0 FROM scheduling_pool_clock WHERE ticked_at > now() - interval '5 s'"


class NotInTimeError(AssertionError):
    """Failure of a condition to become true before its deadline."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of processes of a stack, their additional environment, and the tenants' caps."""

    workers: int = 2
    slots: int = 2
    dispatchers: int = 1
    caps: tuple[int, int, int] = (1, 2, 3)
    has_web: bool = True
    # Of a worker of the pool `io`; without one, jobs of asynchronous kinds go to the pool `default`.
    io_slots: int = 0
    environment: dict[str, dict[str, str]] = field(default_factory=dict)


class Stack:
    """Servers and processes of a platform; `start` it and `stop` it."""

    def __init__(self, addresses: Addresses, shape: Shape) -> None:
        self.addresses = addresses
        self.folder = addresses.folder
        self.shape = shape
        self.servers = Servers(self.addresses)
        logs = self.folder / LOGS
        logs.mkdir(exist_ok=True)
        self.receiver = Receiver()
        allowed = {"OUTGOING_HTTP_ALLOWED_HOSTS": self.receiver.address}
        self._platform = Platform(os.environ | self.addresses.environment() | allowed, logs)
        self.client: Client | None = None
        self.witness: Witness | None = None
        self.view = View(self.addresses.admin_url)
        self.web_port = free_port()
        # Port of the clients: a row may insert a proxy.
        self.front_port = self.web_port
        self.workers: list[ManagedProcess] = []
        self.io_worker: ManagedProcess | None = None
        self.dispatchers: list[ManagedProcess] = []
        self.web: ManagedProcess | None = None
        self.auditor: ManagedProcess | None = None
        # Every process ever started, with its role.
        self.started: list[tuple[str, ManagedProcess]] = []
        self.tenants: list[Tenant] = []
        self.caps: dict[UUID, list[tuple[datetime, int]]] = {}
        # Additional environment of each role; a row may change it before or while they run.
        self.environment: dict[str, dict[str, str]] = {
            role: dict(shape.environment.get(role, {})) for role in ("web", "dispatcher", "worker")
        }
        # Whether dead processes are replaced during waits, as a supervisor does.
        self.is_kept = True

    def start_servers(self) -> None:
        self.servers.start_postgres()
        self.servers.start_broker()

    def start_processes(self) -> None:
        """Start everything, and return when all of it serves."""
        self._make_tenants()
        self.receiver.start()
        if not self.shape.io_slots:
            with all_tenants():
                CFSPlanTier.objects.update(io_queue=None)
        self.keep()
        self.until(self.is_whole, within=START_SECONDS, what="all processes are up")
        watched = self._make_tenant("witness", WITNESS_CAP)
        tokens = {tenant.pk: issue_api_key(tenant=tenant, name="chaos").token for tenant in [*self.tenants, watched]}
        self.client = Client(f"http://{HOST}:{self.front_port}", tokens, name=self.folder.name)
        if self.shape.has_web:
            address, cookies = f"http://{HOST}:{self.web_port}", _cookies_of_member(watched)
            self.witness = Witness(address, self.client, watched.pk, cookies, CONSOLE_PAGE)

    def _make_tenants(self) -> None:
        for name, cap in zip(NAMES, self.shape.caps, strict=True):
            self.tenants.append(self._make_tenant(name, cap))

    def _make_tenant(self, name: str, cap: int) -> Tenant:
        tenant = create_tenant(slug=name, plan=PLAN)
        for key, value in UNLIMITED.items():
            set_tenant_limit(tenant=tenant, key=key, value=value, reason="chaos")
        self.set_cap(tenant, cap)
        return tenant

    def set_cap(self, tenant: Tenant, cap: int) -> float:
        """Change a tenant's cap; return when the change was committed, by this machine's clock."""
        caps = self.caps.setdefault(tenant.pk, [])
        before = self.view.number(_NOW)
        update_tenant(tenant=tenant, changes={"max_concurrency": cap})
        committed_at = time.time()
        # It took effect between the two reads: starts that it allows may begin at the first, those that it forbids end
        # at the second.
        is_raised = not caps or cap > caps[-1][1]
        caps.append((before if is_raised else self.view.number(_NOW), cap))
        return committed_at

    # Processes ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Replace dead processes, without waiting for them."""
        if self.shape.has_web and (self.web is None or not self.web.is_running):
            self.web = self._note("web", self._platform.start_web(self.web_port, **self.environment["web"]))
        if self.auditor is None or not self.auditor.is_running:
            self.auditor = self._note("auditor", self._platform.start("run_auditor"))
        self.dispatchers = [process for process in self.dispatchers if process.is_running]
        while len(self.dispatchers) < self.shape.dispatchers:
            self.dispatchers.append(self.begin_dispatcher())
        self.workers = [process for process in self.workers if process.is_running]
        while len(self.workers) < self.shape.workers:
            self.begin_worker()
        if self.shape.io_slots and (self.io_worker is None or not self.io_worker.is_running):
            slots, variables = self.shape.io_slots, self.environment["worker"]
            worker = self._platform.begin_worker(concurrency=slots, pool="io", **variables)
            self.io_worker = self._note("worker", worker)

    def begin_worker(self) -> ManagedProcess:
        """Start one more worker without waiting for it."""
        number = len(self.workers)
        variables = self.environment["worker"] | self.shape.environment.get(f"worker {number}", {})
        worker = self._note("worker", self._platform.begin_worker(concurrency=self.shape.slots, **variables))
        self.workers.append(worker)
        return worker

    def begin_dispatcher(self, **environment: str) -> ManagedProcess:
        """Start one more dispatcher, which is not replaced."""
        variables = self.environment["dispatcher"] | environment
        return self._note("dispatcher", self._platform.start_dispatcher(**variables))

    def begin_separate(self, *arguments: str, log: str, **environment: str) -> ManagedProcess:
        """Start one more process of another kind, which is not replaced."""
        return self._platform.start(*arguments, log=log, **environment)

    def begin_foreign(self, *arguments: str, app: str) -> ManagedProcess:
        """Start a command of Celery's own, of another application."""
        return self._platform.start_celery(*arguments, app=app)

    def _note(self, role: str, process: ManagedProcess) -> ManagedProcess:
        self.started.append((role, process))
        return process

    def processes(self) -> list[Process]:
        """Return every process ever started, with its present state."""
        ages = self.view.heartbeat_ages()
        return [
            Process(role, one.pid, one.status, one.was_ended, role in REPORTING, ages.get(one.pid), one.age)
            for role, one in self.started
        ]

    def is_whole(self) -> bool:
        """Return whether everything that belongs to the stack is up and serves."""
        self.keep()
        return (
            all(is_ready(worker) for worker in [*self.workers, *filter(None, [self.io_worker])])
            and (not self.shape.has_web or self.is_web_up())
            and bool(self.view.number(_IS_TICKING))
        )

    def is_web_up(self) -> bool:
        try:
            return httpx.get(f"http://{HOST}:{self.web_port}/health/live", timeout=5).is_success
        except httpx.TransportError:
            return False

    def heal(self) -> None:
        """Repair everything: servers, processes, and stopped ones."""
        if not self.servers.is_postgres_running:
            self.servers.start_postgres()
        if not self.servers.is_broker_running:
            self.servers.start_broker()
        connections.close_all()
        for process in [*self.workers, *self.dispatchers, *filter(None, [self.io_worker, self.web, self.auditor])]:
            resume(process)
        self.is_kept = True
        self.until(self.is_whole, within=START_SECONDS, what="all processes are up again")

    def worker_of(self, pid: int) -> ManagedProcess:
        """Return the worker whose child a process is."""
        return next(worker for worker in self.workers if worker.is_running and pid in worker.children())

    def probe(self, role: str) -> str:
        """Return the fault that the liveness probe of a role finds, or an empty text."""
        probed = self._platform.start("check_process", role)
        eventually(lambda: not probed.is_running, what="the probe ends")
        return "" if probed.wait() == 0 else f"the probe of {role} failed: {probed.log[-300:].strip()}"

    # Waiting -----------------------------------------------------------------------------------------------

    def until[T](self, question: Callable[[], T], *, within: float, what: str) -> T:
        """Return the first true result; raise NotInTimeError if there is none in time.

        An unavailable database counts as no result.
        """
        deadline = time.monotonic() + within
        while True:
            answer: T | None = None
            try:
                if self.is_kept and self.servers.is_postgres_running:
                    self.keep()
                answer = question()
            except (psycopg.OperationalError, OperationalError, InterfaceError):
                connections.close_all()
            if answer:
                return answer
            if time.monotonic() >= deadline:
                raise NotInTimeError(f"Not within {within:.0f} s: {what}.")
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """Stop everything."""
        self.view.close()
        connections.close_all()
        if self.witness is not None:
            self.witness.stop()
            self.witness.close()
        if self.client is not None:
            self.client.close()
        self._platform.stop()
        self.servers.stop()
        self.receiver.stop()


def _cookies_of_member(tenant: Tenant) -> dict[str, str]:
    """Return the session cookies of a member, as a browser sends them."""
    user = get_user_model().objects.create_user(username=f"{tenant.slug}-viewer")
    add_member(tenant=tenant, user=user)
    browser = Browser()
    browser.force_login(user)
    return {name: morsel.value for name, morsel in browser.cookies.items()}


def pause(process: ManagedProcess) -> None:
    """Send SIGSTOP to a process and its children, the parent first, so that it replaces none of them."""
    for pid in [process.pid, *process.children()]:
        os.kill(pid, signal.SIGSTOP)


def resume(process: ManagedProcess) -> None:
    """Send SIGCONT to a process and its children, the children first, so that they may act before their parent."""
    if process.is_running:
        for pid in [*process.children(), process.pid]:
            os.kill(pid, signal.SIGCONT)
