"""The catalog: no table, partition, view, function or role leaves a gap in row-level security."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from tenants.checks import find_role_faults
from tests.databases import TestDatabase, connect_as_owner
from tests.integration.tenants.sql import APP, AUDITOR, OWNER, PLATFORM, run_sql

pytestmark = pytest.mark.django_db

# Tables without row-level security, each with its reason: none has rows of a single tenant.
ALLOWED_TABLES = {
    "account_emailaddress": "accounts are the platform's",
    "account_emailconfirmation": "likewise; not written",
    "auth_group": "accounts are the platform's",
    "auth_group_permissions": "accounts are the platform's",
    "auth_permission": "accounts are the platform's",
    "auth_user": "accounts are the platform's; who belongs to a tenant stands in tenants_membership",
    "auth_user_groups": "accounts are the platform's",
    "auth_user_user_permissions": "accounts are the platform's",
    "axes_accessattempt": "failed log-ins, by name and address; names of accounts are the platform's",
    "axes_accessattemptexpiration": "likewise",
    "axes_accessfailurelog": "likewise; not written",
    "axes_accesslog": "likewise; not written",
    "django_admin_log": "kept by Django's own pages only; the console writes the audit log",
    "django_celery_beat_clockedschedule": "the platform's upkeep",
    "django_celery_beat_crontabschedule": "the platform's upkeep",
    "django_celery_beat_intervalschedule": "the platform's upkeep",
    "django_celery_beat_periodictask": "the platform's upkeep",
    "django_celery_beat_periodictasks": "the platform's upkeep",
    "django_celery_beat_solarschedule": "the platform's upkeep",
    "django_content_type": "names of models",
    "django_migrations": "names of migrations",
    "django_session": "log-ins, found by a secret key",
    "mfa_authenticator": "second factors of accounts, encrypted",
    "socialaccount_socialaccount": "subjects and last claims of accounts, which are the platform's",
    "socialaccount_socialapp": "not written; the provider stands in the settings",
    "socialaccount_socialtoken": "not written; tokens are not kept",
}
# The platform role may only insert open requests; elsewhere its policy has no condition.
NARROWED_DOORS = {"tenants_auditremoval": f"platform_door_insert TO {PLATFORM} USING ((done_at IS NULL)"}
# Requests to the auditor, and incidents of the platform, are hidden from tenants.
WITHOUT_ISOLATION = {
    "tenants_auditremoval",
    "scheduling_platform_incident",
    "scheduling_platform_log",
    "scheduling_load_state",
}
# Written by triggers, as the owner.
OWNER_POLICIES = {
    "tenants_auditpending": f"queue_keeper TO {OWNER} USING true",
    "tenants_auditcounter": f"counter_keeper TO {OWNER} USING true",
}
# Tables whose column of the tenant's id has another name.
TENANT_COLUMNS = {"tenants_auditseal": "chain", "tenants_audithead": "chain", "tenants_auditcounter": "chain"}
TENANT_CONDITION = "(NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid"


def find_gaps() -> dict[str, str]:
    """Return the tables of the schema that row-level security does not guard, each with what is missing."""
    rows = run_sql(
        """
        SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
               EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id'),
               coalesce(
                   array_agg(p.policyname::text || ' TO ' || array_to_string(p.roles, ',')
                             || ' USING ' || coalesce(p.qual, p.with_check))
                   FILTER (WHERE p.policyname IS NOT NULL), '{}')
        FROM pg_class c
        LEFT JOIN pg_policies p ON p.schemaname = 'public' AND p.tablename = c.relname
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        GROUP BY c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity
        """
    )
    gaps = {}
    for table, is_enabled, is_forced, has_tenant, policies in rows:
        if table in ALLOWED_TABLES and not has_tenant:
            continue
        if not (is_enabled and is_forced):
            gaps[table] = "row-level security is not enabled and forced"
        elif fault := _policy_fault(table, has_tenant, policies):
            gaps[table] = fault
    return gaps


def _policy_fault(table: str, has_tenant: bool, policies: list[str]) -> str:
    doors = [policy for policy in policies if policy.startswith("platform_door")]
    isolations = [policy for policy in policies if policy.startswith("tenant_isolation")]
    special = [
        policy
        for policy in policies
        if (policy.startswith("auditor_") and f" TO {AUDITOR} USING " in policy) or policy == OWNER_POLICIES.get(table)
    ]
    has_isolation = bool(isolations) or table in WITHOUT_ISOLATION
    if not doors or not has_isolation or len(doors) + len(isolations) + len(special) != len(policies):
        return f"policies are {policies}"
    narrowed = NARROWED_DOORS.get(table, "no such policy")
    if any(f" TO {PLATFORM} USING true" not in door and not door.startswith(narrowed) for door in doors):
        return f"the door is open to others: {doors}"
    column = TENANT_COLUMNS.get(table, "tenant_id" if has_tenant else "")
    if column and any(f"({column} = {TENANT_CONDITION})" not in policy for policy in isolations):
        return f"rows are not compared with the tenant: {isolations}"
    return ""


@contextmanager
def planted(database: TestDatabase, *statements: str, drop: str) -> Iterator[None]:
    with connect_as_owner(database.name) as owner:
        for statement in statements:
            owner.execute(statement)
        try:
            yield
        finally:
            owner.execute(drop)


def test_every_table_is_guarded_or_allowed():
    assert find_gaps() == {}


def test_allow_list_names_only_existing_tables():
    tables = {name for (name,) in run_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert set(ALLOWED_TABLES) <= tables


ENABLE = "ALTER TABLE planted ENABLE ROW LEVEL SECURITY"
FORCE = "ALTER TABLE planted FORCE ROW LEVEL SECURITY"
DOOR = f"CREATE POLICY platform_door ON planted TO {PLATFORM} USING (true)"
OPEN = "CREATE POLICY tenant_isolation ON planted USING (true)"


@pytest.mark.parametrize(
    ("statements", "gap"),
    [
        ([], "not enabled"),
        ([ENABLE, DOOR, OPEN], "not enabled and forced"),
        ([ENABLE, FORCE], "policies are"),
        ([ENABLE, FORCE, DOOR], "policies are"),
        ([ENABLE, FORCE, DOOR, OPEN], "not compared with the tenant"),
        ([ENABLE, FORCE, OPEN, "CREATE POLICY platform_door ON planted USING (true)"], "open to others"),
        ([ENABLE, FORCE, DOOR, OPEN, "CREATE POLICY extra ON planted USING (true)"], "policies are"),
    ],
)
def test_planted_table_without_row_security_is_found(django_db_setup, statements, gap):
    create = "CREATE TABLE planted (id uuid PRIMARY KEY, tenant_id uuid NOT NULL)"
    with planted(django_db_setup, create, *statements, drop="DROP TABLE planted"):
        assert gap in find_gaps()["planted"]
    assert find_gaps() == {}


def granted_tables() -> list[tuple[Any, ...]]:
    return run_sql(
        """
        SELECT c.relname, c.relispartition, r.rolname, p.privilege_type
        FROM pg_class c, aclexplode(c.relacl) p LEFT JOIN pg_roles r ON r.oid = p.grantee
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND p.grantee <> c.relowner
        """
    )


def test_partitions_have_no_grants():
    partitions = run_sql("SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'")
    assert partitions[0][0] >= 3
    assert [grant for grant in granted_tables() if grant[1]] == []


def test_planted_grant_on_a_partition_is_found(django_db_setup):
    partition = "scheduling_charge_default"
    grant, revoke = (f"{verb} SELECT ON {partition} {to} {APP}" for verb, to in (("GRANT", "TO"), ("REVOKE", "FROM")))
    with planted(django_db_setup, grant, drop=revoke):
        assert [each for each in granted_tables() if each[1]] == [(partition, True, APP, "SELECT")]


def test_grants_exclude_other_roles_and_truncate():
    allowed = {"SELECT", "INSERT", "UPDATE", "DELETE"}
    strays = [g for g in granted_tables() if g[2] not in (APP, PLATFORM, AUDITOR) or g[3] not in allowed]
    # Views of extensions (vector has none) would be listed as well.
    assert strays == []


def test_schema_has_no_views():
    assert run_sql("SELECT viewname FROM pg_views WHERE schemaname = 'public'") == []
    assert run_sql("SELECT matviewname FROM pg_matviews WHERE schemaname = 'public'") == []


def test_security_definer_functions_are_pinned_and_restricted():
    rows = run_sql(
        """
        SELECT p.proname::text, p.proconfig, has_function_privilege(%s, p.oid, 'EXECUTE'),
               has_function_privilege(%s, p.oid, 'EXECUTE')
        FROM pg_proc p WHERE p.prosecdef AND p.pronamespace NOT IN ('pg_catalog'::regnamespace) ORDER BY 1
        """,
        APP,
        PLATFORM,
    )
    path = ["search_path=pg_catalog, pg_temp"]
    assert rows == [
        ("count_audit_head", path, False, False),
        ("count_audit_seals", path, False, False),
        ("create_partition", path, False, True),
        ("drop_partition", path, False, True),
        ("queue_audit_entries", path, False, False),
    ]


def test_schema_creation_is_reserved_to_the_owner():
    for role in (APP, PLATFORM, AUDITOR, "public"):
        assert run_sql("SELECT has_schema_privilege(%s, 'public', 'CREATE')", role) == [(False,)]


def test_login_roles_are_restricted_and_the_platform_role_cannot_log_in():
    rows = run_sql(
        """
        SELECT rolname::text, rolsuper OR rolbypassrls OR rolcreaterole, rolinherit, rolcanlogin
        FROM pg_roles WHERE rolname = ANY (%s)
        """,
        [APP, AUDITOR, OWNER, PLATFORM],
    )
    logins = {(name, False, False, True) for name in (APP, AUDITOR, OWNER)}
    assert set(rows) == {*logins, (PLATFORM, False, False, False)}
    assert find_role_faults(connection) == []


def test_application_role_is_a_member_only_of_the_platform_role():
    rows = run_sql(
        "SELECT r.rolname::text FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid"
        " WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = %s)",
        APP,
    )
    assert rows == [(PLATFORM,)]


def test_test_suite_runs_as_the_restricted_role():
    assert run_sql("SELECT session_user::text, current_user::text") == [(APP, APP)]
