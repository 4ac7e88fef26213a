"""Contexts: what is visible inside them, and that nothing of them remains."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from tenants.context import (
    Actor,
    Scope,
    acting_as,
    all_tenants,
    current_actor,
    current_scope,
    current_tenant_id,
    require_tenant_id,
    tenant_context,
)
from tenants.exceptions import ContextElsewhereError, NoTenantError, TenantNotChosenError
from tenants.models import ApiKey, Tenant
from tests.integration.tenants.sql import APP, PLATFORM, make_key, transaction_settings

pytestmark = pytest.mark.django_db

OUTSIDE = (APP, "")


def inside(tenant: Tenant) -> tuple[str, str]:
    return (APP, str(tenant.pk))


BEHIND_THE_DOOR = (PLATFORM, "")


def test_context_sets_orm_and_database_scope(acme, globex):
    with tenant_context(acme):
        assert transaction_settings() == inside(acme)
        assert current_tenant_id() == require_tenant_id() == acme.pk
        assert list(Tenant.objects.all()) == [acme]


def test_context_accepts_an_id(acme):
    with tenant_context(acme.pk):
        assert transaction_settings() == inside(acme)


@pytest.mark.parametrize("invalid", [Tenant(pk=None), None, "", "acme"])
def test_invalid_tenant_opens_no_context(invalid):
    with pytest.raises((NoTenantError, AttributeError)), tenant_context(invalid):
        pytest.fail("a context was opened")
    assert current_scope() is None


def test_platform_scope_shows_all_tenants_and_has_no_current_one(acme, globex):
    with all_tenants():
        assert transaction_settings() == BEHIND_THE_DOOR
        assert list(Tenant.objects.all()) == [acme, globex]
        assert current_tenant_id() is None
        with pytest.raises(TenantNotChosenError):
            require_tenant_id()


def test_current_tenant_without_a_context_raises():
    assert current_scope() is None
    with pytest.raises(NoTenantError):
        require_tenant_id()


def test_leaving_a_context_restores_the_previous_values(acme, globex):
    with tenant_context(acme):
        with tenant_context(globex):
            assert transaction_settings() == inside(globex)
            with all_tenants():
                assert transaction_settings() == BEHIND_THE_DOOR
                with tenant_context(acme):
                    assert transaction_settings() == inside(acme)
                assert transaction_settings() == BEHIND_THE_DOOR
            assert transaction_settings() == inside(globex)
        assert transaction_settings() == inside(acme)
        assert current_tenant_id() == acme.pk
    assert transaction_settings() == OUTSIDE
    assert current_tenant_id() is None


def test_exception_restores_the_scope_and_rolls_back_the_writes(acme, globex):
    with tenant_context(acme):
        with pytest.raises(ZeroDivisionError), tenant_context(globex):
            make_key(globex, "lost")
            _ = 1 / 0
        assert transaction_settings() == inside(acme)
        make_key(acme, "kept")
    with all_tenants():
        assert [key.name for key in ApiKey.objects.all()] == ["kept"]


@pytest.mark.parametrize(
    ("statement", "error"),
    [("SELECT 1/0", DataError), ("INSERT INTO tenants_plan (id) VALUES (NULL)", Exception)],
)
def test_failed_statement_restores_the_scope(acme, globex, statement, error):
    with tenant_context(acme):
        with pytest.raises(error), tenant_context(globex), connection.cursor() as cursor:
            cursor.execute(statement)
        assert transaction_settings() == inside(acme)


def test_requested_rollback_restores_the_scope(acme, globex):
    # REST framework marks the transaction so after an error that it has answered.
    with tenant_context(acme):
        with tenant_context(globex):
            make_key(globex, "lost")
            transaction.set_rollback(True)
        assert transaction_settings() == inside(acme)
        assert current_tenant_id() == acme.pk
    with all_tenants():
        assert not ApiKey.objects.exists()


def test_same_context_again_costs_only_its_savepoint(acme, django_assert_num_queries):
    with tenant_context(acme), django_assert_num_queries(2), tenant_context(acme):
        pass


def test_entering_and_leaving_cost_one_statement_each_beside_the_savepoint(acme, django_assert_num_queries):
    with django_assert_num_queries(4), tenant_context(acme):
        pass


def test_thread_with_a_copied_context_must_open_its_own(acme):
    def ask() -> object:
        try:
            return list(Tenant.objects.all())
        except NoTenantError as error:
            return error

    with tenant_context(acme), ThreadPoolExecutor(1) as threads:
        copied = contextvars.copy_context()
        assert isinstance(threads.submit(copied.run, ask).result(), ContextElsewhereError)
        # A new thread starts without a tenant.
        assert type(threads.submit(ask).result()) is NoTenantError


def test_coroutine_has_the_scope_of_its_context_as_long_as_the_transaction_has_it(acme, globex):
    async def ask() -> object:
        return current_scope()

    def ask_on_a_loop() -> object:
        try:
            return threads.submit(copied.run, asyncio.run, ask()).result()
        except NoTenantError as error:
            return type(error)

    with ThreadPoolExecutor(1) as threads:
        with tenant_context(acme):
            copied = contextvars.copy_context()
            assert ask_on_a_loop() == Scope(acme.pk)
            with tenant_context(globex):
                assert ask_on_a_loop() is ContextElsewhereError
            assert ask_on_a_loop() == Scope(acme.pk)
        with tenant_context(acme):
            assert ask_on_a_loop() is ContextElsewhereError


def test_scope_may_be_left_in_another_copy_of_the_context(acme, globex):
    with tenant_context(globex):
        entered = contextlib.ExitStack()
        contextvars.copy_context().run(entered.enter_context, tenant_context(acme))
        assert transaction_settings() == inside(acme)
        contextvars.copy_context().run(entered.close)
        assert transaction_settings() == inside(globex)


def test_actor_is_the_system_by_default():
    assert current_actor().kind == "system"
    alice = Actor(kind="user", id="1", label="alice", request_id="r")
    with pytest.raises(ZeroDivisionError), acting_as(alice):
        assert current_actor() is alice
        _ = 1 / 0
    assert current_actor().kind == "system"


@pytest.mark.django_db(transaction=True)
class TestRealTransactions:
    """The same contexts as the outermost transaction, which commits."""

    def test_commit_leaves_no_scope_on_the_connection(self, acme, globex):
        with tenant_context(acme):
            make_key(acme, "kept")
        assert transaction_settings() == OUTSIDE
        with all_tenants():
            assert ApiKey.objects.count() == 1
        assert transaction_settings() == OUTSIDE

    def test_on_commit_hooks_run_outside_the_tenant(self, acme):
        seen: list[object] = []

        def look() -> None:
            seen.append(transaction_settings())
            try:
                Tenant.objects.count()
            except NoTenantError as error:
                seen.append(type(error))

        with tenant_context(acme):
            transaction.on_commit(look)
        assert seen == [OUTSIDE, NoTenantError]

    def test_failure_without_a_savepoint_rolls_back_the_outer_transaction(self, acme):
        with tenant_context(acme):
            make_key(acme, "lost")
            with pytest.raises(ZeroDivisionError), tenant_context(acme, has_savepoint=False):
                _ = 1 / 0
            assert connection.needs_rollback
        with all_tenants():
            assert not ApiKey.objects.exists()

    def test_connection_reused_after_an_error_has_no_old_scope(self, acme, globex):
        """Run tenant A, an error, and tenant B on one connection, as in a worker's child."""
        make_key(acme, "a", enter=True)
        make_key(globex, "g", enter=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            backend = cursor.fetchone()
        for error in ("SELECT 1/0", "SELECT * FROM missing", "TRUNCATE tenants_tenant"):
            with pytest.raises(Exception) as failure, tenant_context(acme), connection.cursor() as cursor:  # noqa: PT011 - any
                assert [key.name for key in ApiKey.objects.all()] == ["a"]
                cursor.execute(error)
            assert failure.value.__cause__ is not None
            assert transaction_settings() == OUTSIDE
            with tenant_context(globex):
                assert [key.name for key in ApiKey.objects.all()] == ["g"]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone() == backend

    def test_constraint_failing_at_commit_leaves_no_scope(self, acme):
        with pytest.raises(IntegrityError), tenant_context(acme):
            ApiKey.objects.create(tenant=acme, name="x", prefix="x")
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO tenants_membership (id, tenant_id, user_id, role) VALUES"
                    " (gen_random_uuid(), %s, 987654, 'viewer')",
                    [acme.pk],
                )
        assert transaction_settings() == OUTSIDE
        with all_tenants():
            assert not ApiKey.objects.exists()
