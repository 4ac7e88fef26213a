"""Faults of Valkey: full, read-only, stopped, unable to save, or with a bad connection."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from jobsplatform.embedded.valkey import ADMINISTRATOR
from tests.chaos.row import Field
from tests.chaos.rows.brokers import refused_between
from tests.chaos.servers import HOST, Addresses, Servers
from tests.chaos.spans import ProxiedRow, SpanRow
from tests.chaos.stack import Stack

ACCEPTS = "; every request is accepted meanwhile"


class BrokerSpan(SpanRow):
    """Span in which Valkey does not work, but every request is accepted."""

    measured = SpanRow.measured + ACCEPTS

    def inject(self, field: Field) -> list[float]:
        since = time.time()
        recoveries = super().inject(field)
        field.violations += refused_between(field, since, time.time())
        return recoveries


@contextmanager
def configured(field: Field, **values: Any) -> Iterator[redis.Redis]:
    """Change settings of Valkey until the end of the context."""
    with redis.Redis.from_url(field.stack.addresses.broker_url(user=ADMINISTRATOR)) as client:
        names = {name: name.replace("_", "-") for name in values}
        before = {names[name]: client.config_get(names[name])[names[name]] for name in values}
        for name, value in values.items():
            client.config_set(names[name], value)
        try:
            yield client
        finally:
            for name, value in before.items():
                client.config_set(name, value)


class MemoryFull(BrokerSpan):
    id, fault = "R11", "Valkey has reached maxmemory and evicts nothing, for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        with configured(field, maxmemory=1):
            yield


class Demoted(BrokerSpan):
    id, fault = "R12", "Valkey is made a replica and refuses writes (READONLY), for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        with redis.Redis.from_url(field.stack.addresses.broker_url(user=ADMINISTRATOR)) as client:
            client.replicaof(HOST, "1")
            try:
                yield
            finally:
                client.replicaof("NO", "ONE")


class BrokerStopped(BrokerSpan):
    """Broker that stops: acknowledgements fail meanwhile, but the worker continues to read afterwards."""

    id, fault = "R13", "Valkey stopped by SIGSTOP for 10 s, three times; its connections stay open"
    bound_seconds = 20.0
    minutes = 2.5

    def inject(self, field: Field) -> list[float]:
        return [recovery for _ in range(3) for recovery in super(BrokerStopped, self).inject(field)]

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        pid = field.stack.servers.broker_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


class CannotSave(BrokerSpan):
    id, fault = "R14", "Valkey cannot write its snapshot, as on a full disk, and refuses writes (MISCONF), for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        folder = Path(field.stack.folder, "valkey")
        with configured(field, save="3600 1", stop_writes_on_bgsave_error="yes") as client:
            folder.chmod(0o500)
            try:
                client.bgsave()
                field.stack.until(
                    lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", within=20, what="it fails"
                )
                yield
            finally:
                folder.chmod(0o700)
                client.config_set("stop-writes-on-bgsave-error", "no")


class ClientsLimited(BrokerSpan):
    id, fault = "R15", "Valkey accepts two clients and disconnects all others, for 10 s"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        with configured(field, maxclients=2) as client:
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
            yield


class UnreliableConnection(ProxiedRow):
    id, fault = "R21", "connections to Valkey are 100 ms late and reset each half second, for 10 s"
    is_broker = True

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        self.way.delay(0.1)
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            field.wait(0.3, 0.7)
            self.way.reset()
        self.way.delay(0.0)
        yield


class FailedOver(ProxiedRow):
    id, fault = (
        "R22",
        "the address of Valkey leads to another, empty server; the old one stays up and keeps its messages",
    )
    is_broker = True
    held_seconds = (0.0, 0.0)
    measured = "from the change until a job submitted then is accepted and begins"
    _second: Servers | None = None
    _is_second = False

    def prepare(self, stack: Stack) -> None:
        super().prepare(stack)
        folder = stack.folder / "second"
        folder.mkdir(mode=0o711, exist_ok=True)
        first = stack.addresses
        self._addresses = Addresses(folder, first.passwords, first.postgres_port, Addresses.choose(folder).broker_port)
        self._second = Servers(self._addresses)
        self._second.start_broker()

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        """Change the address without a way back, as after a failover."""
        ports = self._addresses.broker_port, field.stack.addresses.broker_port
        self._is_second = not self._is_second
        self.way.lead_to((HOST, ports[0] if self._is_second else ports[1]))
        yield

    def tear_down(self) -> None:
        super().tear_down()
        if self._second is not None:
            self._second.stop()


class WorkersCutOff(ProxiedRow):
    id, fault = "W11", "all traffic between the workers and Valkey is discarded for 12 s, PostgreSQL is reachable"
    is_broker = True
    roles = ("worker",)
    held_seconds = (12.0, 12.0)
    bound_seconds = 30.0

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        self.way.blackhole()
        try:
            yield
        finally:
            self.way.blackhole(is_on=False)


ROWS = (MemoryFull, Demoted, BrokerStopped, CannotSave, ClientsLimited, UnreliableConnection, FailedOver, WorkersCutOff)
