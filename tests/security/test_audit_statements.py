"""Every statement of the application's login on the audit tables is refused, or leaves sealed entries unchanged."""

from __future__ import annotations

from contextlib import closing

import pytest
from django.db import connection

from tenants.database.conf import app_role, auditor_role, platform_role
from tests.security.audit_login import FUNCTIONS, TABLES, AppLogin, forged_entry, statements
from tests.security.world import World

pytestmark = pytest.mark.django_db(transaction=True)
# Missing right, unknown right, direct call of a trigger's function, or missing partition.
REFUSED = {"UndefinedTable", "InsufficientPrivilege", "FeatureNotSupported", "SyntaxError", "InvalidFunctionDefinition"}


def test_application_login_cannot_change_sealed_entries() -> None:
    with closing(AppLogin(World().zeta)) as login:
        table = statements(login.victim.pk)
        assert len(table) > 200
        outcomes = {(name, role): login.attempt(text, role=role) for name, role, text in table}
        # A GRANT without grant option has no effect and warns; a temporary table contains only readable data.
        harmless = ("grant ", "select into temp ")
        got_in = {key: it for key, it in outcomes.items() if it not in REFUSED and not key[0].startswith(harmless)}
        assert got_in == {}
        assert login.attempt(*forged_entry(tenant_id=login.victim.pk)) == "1 rows"
        assert login.outcome() == "intact"


@pytest.mark.parametrize("role", ["app", "platform"])
def test_application_roles_may_append_entries_and_read_the_rest(role: str) -> None:
    name = app_role() if role == "app" else platform_role()
    with connection.cursor() as cursor:
        for table in (*TABLES, "tenants_auditremoval"):
            cursor.execute(
                "SELECT array_agg(p ORDER BY p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE',"
                " 'REFERENCES', 'TRIGGER', 'MAINTAIN']) p WHERE has_table_privilege(%s, %s, p)",
                [name, table],
            )
            allowed = set(cursor.fetchone()[0] or ())
            expected = {"SELECT", "INSERT"} if table == "tenants_auditlogentry" else {"SELECT"}
            if table == "tenants_auditremoval":
                expected = set() if role == "app" else {"SELECT", "INSERT", "DELETE"}
            assert allowed == expected, table


def test_audit_functions_have_a_fixed_search_path_and_no_execute_privilege() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosecdef, proconfig::text, has_function_privilege(%s, oid, 'EXECUTE'),"
            " has_function_privilege(%s, oid, 'EXECUTE'), has_function_privilege(%s, oid, 'EXECUTE')"
            " FROM pg_proc WHERE proname = ANY (%s) ORDER BY proname",
            [app_role(), platform_role(), auditor_role(), list(FUNCTIONS)],
        )
        found = cursor.fetchall()
    assert [row[0] for row in found] == sorted(FUNCTIONS)
    for _, is_definer, config, *may_execute in found:
        assert (is_definer, "search_path=pg_catalog, pg_temp" in config, any(may_execute)) == (True, True, False)


def test_auditor_may_write_audit_log_and_heartbeat_only() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            " AND (has_table_privilege(%(role)s, oid, 'INSERT') OR has_table_privilege(%(role)s, oid, 'UPDATE')"
            " OR has_table_privilege(%(role)s, oid, 'DELETE')) ORDER BY relname",
            {"role": auditor_role()},
        )
        written = {row[0] for row in cursor.fetchall()}
        cursor.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [auditor_role(), platform_role()])
        assert cursor.fetchone() == (False,)
    assert written == {*TABLES, "tenants_auditremoval", "scheduling_process_heartbeat"} - {"tenants_auditcounter"}
