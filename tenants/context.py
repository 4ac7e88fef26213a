"""Whose rows may be seen: the tenant of the moment, in Python and in PostgreSQL at once.

Both walls are set together. The context variable serves the ORM guard; the two settings of the
transaction (`role`, `app.tenant_id`) serve row-level security and vanish with it, so a connection
that is used again carries nothing over.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tenants.database.conf import TENANT_SETTING, door_role
from tenants.database.ids import uuid7
from tenants.database.prepared import prepared_cursor, set_config
from tenants.exceptions import ContextElsewhereError, NoTenantError, TenantNotChosenError
from tenants.transactions import (
    is_in_transaction,
    join_transaction,
    open_transaction,
    sent_together,
    session_errors,
    transaction_of,
)

if TYPE_CHECKING:
    from tenants.models import Tenant

ActorKind = Literal["user", "api_key", "command", "system"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows are visible: one tenant's, or with `tenant_id` None everybody's (the door)."""

    tenant_id: UUID | None

    @property
    def is_all_tenants(self) -> bool:
        return self.tenant_id is None


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, a key, a command or the platform itself, and in which request.

    `is_of_tenant`: one of a tenant's own keys, or a person without a role for the platform. `may_use_secrets`: what
    is saved may refer to the tenant's stored secrets; False for a request whose caller has not the right `secrets.use`.
    `may_manage_webhooks`: deliveries may be made again; False for a request without `webhooks.manage`.
    """

    kind: ActorKind
    id: str = ""
    label: str = ""
    request_id: str = ""
    is_of_tenant: bool = False
    may_use_secrets: bool = True
    may_manage_webhooks: bool = True


SYSTEM = Actor(kind="system", label="system")

_scope: ContextVar[Scope | None] = ContextVar("tenancy_scope", default=None)
_actor: ContextVar[Actor] = ContextVar("tenancy_actor", default=SYSTEM)


@contextmanager
def tenant_context(tenant: Tenant | UUID, *, has_savepoint: bool = True) -> Iterator[None]:
    """One transaction (a savepoint when nested) in which only the rows of `tenant` exist.

    Without a savepoint a failure inside takes the transaction around it back too.
    """
    tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
    if tenant_id is None:
        # Never the door by accident: a scope without a tenant would be everybody's.
        raise NoTenantError("The tenant has no id.")
    with _scoped(Scope(tenant_id=tenant_id), has_savepoint=has_savepoint):
        yield


@contextmanager
def all_tenants(settings: Mapping[str, str] | None = None, *, has_savepoint: bool = True) -> Iterator[None]:
    """The door: one transaction (a savepoint when nested) in which the rows of all tenants exist.

    For dispatch, settlement, people of the platform and the look-up of whoever knocks. Each call site is
    listed in a test. ``settings`` of PostgreSQL hold until the transaction ends. Who only reads needs no savepoint.
    """
    with _scoped(Scope(tenant_id=None), settings, has_savepoint=has_savepoint):
        yield


def look_through_door(query: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows that one statement reads behind the door, in a transaction of its own and in one round trip.

    PostgreSQL takes what is sent together without a BEGIN for one transaction, in which the settings hold for the
    statement after them.
    """
    connection = transaction.get_connection()
    if is_in_transaction(connection):
        with all_tenants(), prepared_cursor() as cursor:
            cursor.execute(query, params)
            return list(cursor.fetchall())
    with prepared_cursor() as settings, prepared_cursor() as cursor:
        with sent_together(connection):
            settings.execute(*set_config(_settings_of(Scope(tenant_id=None))))
            cursor.execute(query, params)
        return list(cursor.fetchall())


@contextmanager
def scope_context(scope: Scope) -> Iterator[None]:
    """Enter a scope that somebody else has decided on, such as the access of a request."""
    with _scoped(scope):
        yield


def current_scope() -> Scope | None:
    """The scope of the moment, checked against the connection that would be asked.

    A context variable is copied into threads and tasks, a connection is not.
    """
    scope = _scope.get()
    if scope is None:
        return None
    connection = transaction.get_connection()
    found = transaction_of(connection)
    if not connection.in_atomic_block or found is None or found.scope != scope:
        raise ContextElsewhereError
    return scope


def require_scope() -> Scope:
    """The scope of the moment; without one `NoTenantError`."""
    scope = current_scope()
    if scope is None:
        raise NoTenantError
    return scope


def current_tenant_id() -> UUID | None:
    """The tenant whose rows are visible; None without a context and behind the door."""
    scope = _scope.get()
    return scope.tenant_id if scope else None


def require_tenant_id() -> UUID:
    """The tenant whose rows are visible; a `NoTenantError` if there is none or not exactly one."""
    tenant_id = require_scope().tenant_id
    if tenant_id is None:
        raise TenantNotChosenError
    return tenant_id


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Name who acts; audit entries and job events take it from here."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> Actor:
    """Who acts; the platform itself unless `acting_as` says otherwise."""
    return _actor.get()


def command_actor(name: str) -> Actor:
    """The person at a shell: which command, which account on which machine, and an id for this run of it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that has no name.
        user = str(os.getuid())
    return Actor(kind="command", id=name, label=f"{user}@{socket.gethostname()}", request_id=uuid7().hex)


@contextmanager
def _scoped(scope: Scope, settings: Mapping[str, str] | None = None, *, has_savepoint: bool = True) -> Iterator[None]:
    connection = transaction.get_connection()
    with session_errors(connection):
        is_nested = is_in_transaction(connection)
    if is_nested:
        entered = _nested(connection, scope, settings, has_savepoint=has_savepoint)
    else:
        entered = _own(connection, scope, settings)
    with entered:
        yield


@contextmanager
def _own(connection: BaseDatabaseWrapper, scope: Scope, settings: Mapping[str, str] | None) -> Iterator[None]:
    """Enter a scope in a transaction of its own, which takes its settings with it when it ends."""
    with session_errors(connection), transaction.atomic():
        opened = open_transaction(connection, _settings_of(scope, settings))
        opened.scope, token = scope, _scope.set(scope)
        try:
            yield
            if not connection.needs_rollback:
                opened.commit_behind(connection)
        finally:
            opened.end()
            _scope.reset(token)


@contextmanager
def _nested(
    connection: BaseDatabaseWrapper, scope: Scope, settings: Mapping[str, str] | None, *, has_savepoint: bool
) -> Iterator[None]:
    """Enter a scope within a transaction, whose settings are written back on success.

    On failure the rollback to the savepoint restores them.
    """
    found = transaction_of(connection)
    if found is None or found.scope is None:
        found = join_transaction(connection)
    previous = found.scope
    with transaction.atomic(savepoint=has_savepoint):
        token = _scope.set(scope)
        try:
            if previous != scope or settings:
                _write_settings(scope, settings)
            found.scope = scope
            yield
            if previous != scope and not connection.needs_rollback:
                _write_settings(previous)
        finally:
            found.scope = previous
            _scope.reset(token)


def _settings_of(scope: Scope | None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    role = door_role() if scope is not None and scope.is_all_tenants else "none"
    tenant = str(scope.tenant_id) if scope is not None and scope.tenant_id is not None else ""
    return {"role": role, TENANT_SETTING: tenant, **(settings or {})}


def _write_settings(scope: Scope | None, settings: Mapping[str, str] | None = None) -> None:
    with prepared_cursor() as cursor:
        cursor.execute(*set_config(_settings_of(scope, settings)))
