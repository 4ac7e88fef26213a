"""Rows that hold a fault for some seconds, end it, and measure until a job submitted then begins."""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import AbstractContextManager, suppress
from typing import ClassVar

import psycopg

from tests.acceptance.proxy import Proxy, Tap
from tests.chaos.row import Field, Row
from tests.chaos.servers import HOST
from tests.chaos.stack import Stack

ROLES = ("web", "dispatcher", "worker")
HEALED = "from its end until a job submitted then is accepted and begins"


class SpanRow(Row):
    """Fault with a beginning and an end."""

    bound_seconds, measured = 15.0, HEALED
    minutes = 1.3
    # Its duration is between these two.
    held_seconds: ClassVar[tuple[float, float]] = (8.0, 12.0)

    @abstractmethod
    def hold(self, field: Field) -> AbstractContextManager[object]:
        """Begin the fault, and end it at the end of the context."""

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 1.0)
        with self.hold(field):
            field.wait(*self.held_seconds)
        return [field.fresh_start(time.time())]


class ProxiedRow(SpanRow):
    """Span with a fault on the way from some roles to PostgreSQL or to Valkey."""

    roles: ClassVar[tuple[str, ...]] = ROLES
    is_broker: ClassVar[bool] = False
    proxy: Proxy | None = None

    def tap(self) -> Tap | None:
        """Return the tap that inspects the bytes, or None."""
        return None

    def prepare(self, stack: Stack) -> None:
        addresses = stack.addresses
        port = addresses.broker_port if self.is_broker else addresses.postgres_port
        self.proxy = Proxy((HOST, port), tap=self.tap())
        for role in self.roles:
            stack.environment[role] |= (
                {
                    "REDIS_URL": addresses.broker_url(port=self.proxy.port),
                    "CACHE_URL": addresses.broker_url(port=self.proxy.port, number=1),
                }
                if self.is_broker
                else {"DATABASE_URL": addresses.database_url(port=self.proxy.port)}
            )

    @property
    def way(self) -> Proxy:
        assert self.proxy is not None
        return self.proxy

    def tear_down(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


def run_and_cut_off(field: Field, *statements: str) -> None:
    """Change a setting for new sessions, and terminate the present ones."""
    for statement in statements:
        field.view.run(statement)
    with suppress(psycopg.OperationalError):
        field.view.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
