"""The tenant context: which tenant's rows are visible, set in Python and in PostgreSQL at the same time.

The ORM managers check a context variable. Row-level security checks two settings of the transaction (`role` and
`app.tenant_id`), which end with the transaction, so that a reused connection carries nothing over.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.rows import RowFactory, tuple_row

from tenants.database.conf import APP_ALIAS, TENANT_SETTING
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings
from tenants.database.prepared import prepared_cursor, set_config
from tenants.exceptions import ContextElsewhereError, ForeignTenantError, NoTenantError, TenantNotChosenError
from tenants.narrowing import Narrowing
from tenants.transactions import (
    ScopeTransaction,
    is_in_transaction,
    is_on_event_loop,
    join_transaction,
    open_transaction,
    sent_together,
    session_errors,
    transaction_of,
)

if TYPE_CHECKING:
    from tenants.models import Tenant

ActorKind = Literal["user", "api_key", "trigger", "command", "system"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows are visible: those of one tenant or, if `tenant_id` is None, all tenants; perhaps narrowed."""

    tenant_id: UUID | None
    narrowing: Narrowing | None = None

    @property
    def is_all_tenants(self) -> bool:
        """Return whether all tenants' rows are visible."""
        return self.tenant_id is None


@dataclass(frozen=True, slots=True)
class Actor:
    """The originator of a change, for audit entries and events.

    It is a user, an API key, a webhook trigger, a command or the platform itself. `is_of_tenant` is True for a tenant's
    key or trigger and for a user without a platform role. The others are False for a request without a permission:
    `secrets.use` for stored values that refer to the tenant's secrets, `webhooks.manage` to repeat deliveries, and
    `logs.view` to choose jobs by their logs. `rights` are those that it may give; None: any.
    """

    kind: ActorKind
    id: str = ""
    label: str = ""
    request_id: str = ""
    is_of_tenant: bool = False
    may_use_secrets: bool = True
    may_manage_webhooks: bool = True
    may_read_logs: bool = True
    rights: frozenset[str] | None = None


SYSTEM = Actor(kind="system", label="system")

# The scope and the transaction in which it was entered. An earlier value is set again instead of reset by a token: a
# block that a coroutine enters and leaves in another thread does so in two copies of its context.
_entered: ContextVar[tuple[Scope, ScopeTransaction] | None] = ContextVar("tenancy_scope", default=None)
_actor: ContextVar[Actor] = ContextVar("tenancy_actor", default=SYSTEM)


@contextmanager
def tenant_context(tenant: Tenant | UUID, *, has_savepoint: bool = True) -> Iterator[None]:
    """Open a transaction (a savepoint if nested) in which only the rows of `tenant` are visible.

    With `has_savepoint=False` an error in the block rolls back the outer transaction too. Raise `NoTenantError` for an
    unsaved tenant.
    """
    tenant_id = tenant if isinstance(tenant, UUID) else tenant.pk
    if tenant_id is None:
        raise NoTenantError("The tenant has no id.")  # a scope without a tenant would be the cross-tenant one
    with _scoped(Scope(tenant_id=tenant_id), has_savepoint=has_savepoint):
        yield


@contextmanager
def all_tenants(settings: Mapping[str, str] | None = None, *, has_savepoint: bool = True) -> Iterator[None]:
    """Open a transaction (a savepoint if nested) in which the rows of all tenants are visible.

    It is for dispatch, settlement, platform staff and the look-up of credentials; a test lists each call site.
    ``settings`` are PostgreSQL settings that apply until the transaction ends. A block that only reads needs no
    savepoint.
    """
    with _scoped(Scope(tenant_id=None), settings, has_savepoint=has_savepoint):
        yield


def query_cross_tenant(
    query: str,
    params: Sequence[Any] | Mapping[str, Any],
    *,
    settings: Mapping[str, str] | None = None,
    row_factory: RowFactory[Any] = tuple_row,
) -> list[Any]:
    """Run one statement in which the rows of all tenants are visible, in one round trip, and return its rows.

    Outside a transaction, the settings and the statement are sent together without a BEGIN; PostgreSQL treats them as
    one transaction, so that the settings apply to the statement, and its changes are committed or rolled back with the
    answer. ``settings`` are those of `all_tenants`, ``row_factory`` is that of `prepared_cursor`.
    """
    connection = transaction.get_connection()
    if is_in_transaction(connection):
        with all_tenants(settings), prepared_cursor(row_factory) as cursor:
            cursor.execute(query, params)
            return list(cursor.fetchall())
    with prepared_cursor() as setter, prepared_cursor(row_factory) as cursor:
        with sent_together(connection):
            setter.execute(*set_config(_settings_of(Scope(tenant_id=None), settings)))
            cursor.execute(query, params)
        return list(cursor.fetchall())


@contextmanager
def scope_context(scope: Scope) -> Iterator[None]:
    """Open a transaction (a savepoint if nested) with a given scope, such as the one of a request."""
    with _scoped(scope):
        yield


def current_scope() -> Scope | None:
    """Return the current scope, or None if there is none.

    Raise `ContextElsewhereError` if the scope is not that of the connection's transaction: a context variable is copied
    into threads and tasks, a connection is not. A coroutine has no connection: it has the scope as long as the
    transaction does in which its context was entered, and the ORM's asynchronous methods run in the thread of that one.
    """
    entered = _entered.get()
    if entered is None:
        return None
    scope, opened = entered
    connection = transaction.get_connection()
    found = transaction_of(connection)
    is_here = connection.in_atomic_block and found is not None and found.scope == scope
    if not is_here and not (opened.scope == scope and is_on_event_loop()):
        raise ContextElsewhereError
    return scope


def require_scope() -> Scope:
    """Return the current scope; raise `NoTenantError` if there is none."""
    scope = current_scope()
    if scope is None:
        raise NoTenantError
    return scope


def claim_for_scope(instance: models.Model, scope: Scope, tenant_attribute: str = "tenant_id") -> None:
    """Set the tenant of a new row to that of the current scope; raise `ForeignTenantError` if it has another tenant.

    In the scope of all tenants nothing is set; raise `TenantNotChosenError` if the row has no tenant but needs one.
    """
    tenant_id: UUID | None = getattr(instance, tenant_attribute)
    if scope.tenant_id is None:
        if tenant_id is None and not instance._meta.get_field(tenant_attribute).null:
            raise TenantNotChosenError
    elif tenant_id is None:
        setattr(instance, tenant_attribute, scope.tenant_id)
    elif tenant_id != scope.tenant_id:
        raise ForeignTenantError(f"{instance._meta.label} of tenant {tenant_id} in the context of {scope.tenant_id}.")


def current_tenant_id() -> UUID | None:
    """Return the id of the current scope's tenant; None without a scope and in the scope of all tenants."""
    entered = _entered.get()
    return entered[0].tenant_id if entered else None


def require_tenant_id() -> UUID:
    """Return the id of the current scope's tenant; raise `NoTenantError`, or `TenantNotChosenError` if it is of all."""
    tenant_id = require_scope().tenant_id
    if tenant_id is None:
        raise TenantNotChosenError
    return tenant_id


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Set the actor that audit entries and job events name within the block."""
    previous = _actor.get()
    _actor.set(actor)
    try:
        yield
    finally:
        _actor.set(previous)


def current_actor() -> Actor:
    """Return the current actor: the platform itself unless `acting_as` set another."""
    return _actor.get()


def command_actor(name: str) -> Actor:
    """Return the actor for a management command: its name, the user and machine that run it, and an id for this run."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a container may run as a user number without a name
    return Actor(kind="command", id=name, label=f"{user}@{socket.gethostname()}", request_id=uuid7().hex)


@contextmanager
def _scoped(scope: Scope, settings: Mapping[str, str] | None = None, *, has_savepoint: bool = True) -> Iterator[None]:
    connection = transaction.get_connection()
    with session_errors(connection):
        is_nested = is_in_transaction(connection)
    if (outer := _entered.get()) is not None and outer[0].narrowing is not None:
        # What a service opens below a narrowed request stays narrowed.
        scope = replace(scope, narrowing=outer[0].narrowing)
    nested = partial(_nested, has_savepoint=has_savepoint) if is_nested else _own
    with nested(connection, scope, settings):
        yield


@contextmanager
def _own(connection: BaseDatabaseWrapper, scope: Scope, settings: Mapping[str, str] | None) -> Iterator[None]:
    """Enter a scope in a transaction of its own, whose settings end with it."""
    with session_errors(connection), transaction.atomic():
        opened = open_transaction(connection, _settings_of(scope, settings))
        opened.scope, previous = scope, _entered.get()
        _entered.set((scope, opened))
        try:
            yield
            if not connection.needs_rollback:
                opened.commit_with_deferred(connection)
        finally:
            opened.end()
            _entered.set(previous)


@contextmanager
def _nested(
    connection: BaseDatabaseWrapper, scope: Scope, settings: Mapping[str, str] | None, *, has_savepoint: bool
) -> Iterator[None]:
    """Enter a scope inside a transaction, and restore the settings on success.

    On failure the rollback to the savepoint restores them.
    """
    found = transaction_of(connection)
    if found is None or found.scope is None:
        found = join_transaction(connection)
    previous, entered = found.scope, _entered.get()
    with transaction.atomic(savepoint=has_savepoint):
        _entered.set((scope, found))
        try:
            if previous != scope or settings:
                _write_settings(scope, settings)
            found.scope = scope
            yield
            if previous != scope and not connection.needs_rollback:
                _write_settings(previous)
        finally:
            found.scope = previous
            _entered.set(entered)


def _settings_of(scope: Scope | None, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    role = _cross_tenant_role() if scope is not None and scope.is_all_tenants else "none"
    tenant = str(scope.tenant_id) if scope is not None and scope.tenant_id is not None else ""
    return {"role": role, TENANT_SETTING: tenant, **(settings or {})}


def _cross_tenant_role() -> str:
    """Return the database role to set in the scope of all tenants.

    It is the platform role, or "none" (no change of role) under the auditor's login.
    """
    login = connections[APP_ALIAS].settings_dict["USER"]
    return "none" if login == platform_settings.DATABASE_AUDITOR_ROLE else platform_settings.DATABASE_PLATFORM_ROLE


def _write_settings(scope: Scope | None, settings: Mapping[str, str] | None = None) -> None:
    with prepared_cursor() as cursor:
        cursor.execute(*set_config(_settings_of(scope, settings)))
