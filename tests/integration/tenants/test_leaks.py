"""Connection reuse: one connection, many tenants, errors in between, and no leak."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection

from tenants.context import tenant_context
from tests.integration.tenants.sql import APP, make_key

ROUNDS = 10_000


@pytest.fixture
def pool_of_one(django_db_setup):
    """Use the default connection from a pool with a single session."""
    connection.close()
    before = {name: connection.settings_dict[name] for name in ("OPTIONS", "CONN_MAX_AGE")}
    options = {**before["OPTIONS"], "pool": {"min_size": 1, "max_size": 1, "timeout": 10}}
    connection.settings_dict.update(OPTIONS=options, CONN_MAX_AGE=0)
    yield
    connection.close()
    connection.close_pool()
    connection.settings_dict.update(before)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_pool_of_one_connection_leaks_nothing_between_two_tenants(acme, globex, pool_of_one):
    for tenant in (acme, globex):
        make_key(tenant, tenant.slug, enter=True)
    backends, leaks, errors = set(), [], 0
    for number in range(ROUNDS):
        tenant = (acme, globex)[number % 2]
        try:
            with tenant_context(tenant), connection.cursor() as cursor:
                cursor.execute("SELECT name, pg_backend_pid() FROM tenants_apikey")
                names, backend = zip(*cursor.fetchall(), strict=True)
                backends.add(backend[0])
                if names != (tenant.slug,):
                    leaks.append((number, names))
                if number % 5 == 3:
                    cursor.execute("SELECT 1/0")
                if number % 5 == 4:
                    raise ZeroDivisionError
        except (DatabaseError, ZeroDivisionError):
            errors += 1
        if number % 50 == 49:
            # Between uses and outside any context there is no scope.
            with connection.cursor() as cursor:
                cursor.execute("SELECT count(*), current_user::text FROM tenants_apikey")
                if cursor.fetchone() != (0, APP):
                    leaks.append((number, "outside"))
        if number % 7 == 6:
            connection.close()  # back into the pool, and out again for the next use
    assert leaks == []
    assert errors == ROUNDS * 2 // 5
    assert len(backends) == 1
