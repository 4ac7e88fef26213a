"""Row-level security: it holds on every path around the ORM guard."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.db.models.deletion import Collector

from scheduling.models import Batch, Job
from tenants.access.memberships import add_member
from tenants.context import all_tenants, tenant_context
from tenants.models import ApiKey, AuditLogEntry, Membership, Plan, Tenant
from tests.databases import connect_as_owner
from tests.integration.tenants.sql import (
    APP,
    OWNER,
    PLATFORM,
    count_by_sql,
    make_batch,
    make_job,
    make_key,
    new_job,
    run_sql,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def theirs(globex):
    """Return a key, a batch and a job of globex, all loaded outside acme's context."""
    batch = make_batch(globex)
    return {"key": make_key(globex, "g", enter=True), "batch": batch, "job": make_job(globex, batch=batch)}


def test_raw_sql_shows_only_own_rows(acme, theirs):
    make_key(acme, "a", enter=True)
    assert run_sql("SELECT name FROM tenants_apikey") == []
    with tenant_context(acme):
        assert run_sql("SELECT name FROM tenants_apikey") == [("a",)]
        assert [key.name for key in ApiKey.objects.raw("SELECT * FROM tenants_apikey")] == ["a"]
        assert run_sql("SELECT slug FROM tenants_tenant") == [("acme",)]


@pytest.mark.parametrize("value", [None, "", "RESET"])
def test_unset_or_empty_setting_shows_nothing(value, theirs):
    if value == "RESET":
        run_sql("RESET app.tenant_id")
    elif value is not None:
        run_sql("SELECT set_config('app.tenant_id', %s, true)", value)
    for table in ("tenants_tenant", "tenants_apikey", "scheduling_job"):
        assert run_sql(f"SELECT 1 FROM {table}") == []


def test_setting_that_is_no_uuid_is_an_error(theirs):
    run_sql("SELECT set_config('app.tenant_id', %s, true)", "x' OR true --")
    with pytest.raises(Exception, match="invalid input syntax for type uuid"):
        run_sql("SELECT 1 FROM tenants_apikey")


def test_foreign_key_does_not_lead_to_another_tenant(acme, theirs):
    with tenant_context(acme):
        job = Job._base_manager.model(batch_id=theirs["batch"].pk)
        with pytest.raises(Batch.DoesNotExist):
            _ = job.batch
        key = ApiKey(tenant_id=theirs["key"].tenant_id)
        with pytest.raises(Tenant.DoesNotExist):
            _ = key.tenant


def test_refresh_of_a_foreign_row_does_not_find_it(acme, theirs):
    with tenant_context(acme), pytest.raises(ApiKey.DoesNotExist):
        theirs["key"].refresh_from_db()
    with pytest.raises(ApiKey.DoesNotExist):
        theirs["key"].refresh_from_db()


def test_save_of_a_foreign_row_without_the_guard_changes_nothing(acme, theirs):
    key = theirs["key"]
    key.name = "stolen"
    with tenant_context(acme), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        key.save_base(force_insert=True)
    with tenant_context(acme), pytest.raises(Exception, match="did not affect any rows"), transaction.atomic():
        key.save_base(force_update=True)
    with all_tenants():
        assert ApiKey.objects.get(pk=key.pk).name == "g"


def test_base_manager_reaches_no_foreign_rows(acme, theirs):
    with tenant_context(acme):
        assert not ApiKey._base_manager.exists()
        assert ApiKey._base_manager.update(name="stolen") == 0
        assert ApiKey._base_manager.all().delete()[0] == 0
    assert not ApiKey._base_manager.exists()


def test_row_cannot_be_moved_to_another_tenant(acme, globex):
    key = make_key(acme, "a", enter=True)
    with tenant_context(acme), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        ApiKey.objects.filter(pk=key.pk).update(tenant=globex)


def test_bulk_create_without_the_guard_is_refused(acme, globex):
    foreign = ApiKey(tenant=globex, name="x", prefix="x")
    with tenant_context(acme), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        ApiKey._base_manager.bulk_create([foreign])


def test_raw_writes_reach_no_foreign_row(acme, theirs):
    with tenant_context(acme):
        assert count_by_sql("UPDATE tenants_apikey SET name = 'stolen'") == 0
        assert count_by_sql("DELETE FROM tenants_apikey") == 0


def test_cascade_stops_at_row_security(acme, globex, outsider):
    add_member(tenant=acme, user=outsider)
    add_member(tenant=globex, user=outsider)
    with tenant_context(acme):
        collector = Collector(using="default")
        collector.collect([outsider])
        assert {row.tenant_id for row in collector.data.get(Membership, ())} <= {acme.pk}
        # The other tenant's membership stays, so its user must stay.
        with pytest.raises(IntegrityError), transaction.atomic():
            outsider.delete()
            connection.check_constraints()
    with all_tenants():
        assert Membership.objects.count() == 2


def test_joins_and_subqueries_obey_row_security(acme, theirs):
    with tenant_context(acme):
        assert run_sql("SELECT 1 FROM tenants_plan p JOIN tenants_tenant t ON t.plan_id = p.id") == [(1,)]
        assert run_sql("SELECT 1 WHERE EXISTS (SELECT FROM scheduling_job)") == []


def test_composite_key_refuses_another_tenants_row(acme, theirs):
    with tenant_context(acme):
        for column in ("batch", "job"):
            values = {"batch": theirs["batch"]} if column == "batch" else {"parent": theirs["job"]}
            with pytest.raises(IntegrityError, match="same_tenant"), transaction.atomic():
                new_job(acme, **values).save(force_insert=True)
        assert not Job.objects.exists()


def test_composite_key_accepts_an_own_row(acme):
    batch = make_batch(acme)
    assert make_job(acme, batch=batch).batch_id == batch.pk


def test_composite_key_holds_in_the_platform_scope(acme, theirs):
    with all_tenants(), pytest.raises(IntegrityError, match="same_tenant"), transaction.atomic():
        new_job(acme, batch=theirs["batch"]).save(force_insert=True)


@pytest.mark.parametrize("table", ["tenants_tenant", "tenants_apikey", "tenants_auditlogentry", "auth_user"])
@pytest.mark.parametrize("enter", [tenant_context, lambda tenant: all_tenants()])
def test_truncate_is_denied_in_every_scope(acme, table, enter):
    with pytest.raises(ProgrammingError, match="permission denied"), enter(acme):
        run_sql(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE tenants_apikey DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tenants_apikey NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY tenant_isolation ON tenants_apikey",
        "CREATE POLICY mine ON tenants_apikey USING (true)",
        "CREATE TABLE mine (id int)",
        "CREATE VIEW mine AS SELECT * FROM tenants_apikey",
        f"SET ROLE {OWNER}",
        f"SET SESSION AUTHORIZATION {OWNER}",
        f"GRANT {PLATFORM} TO {APP} WITH ADMIN OPTION",
        f"ALTER ROLE {APP} BYPASSRLS",
        "SELECT public.create_partition('scheduling_charge', gen_random_uuid(), gen_random_uuid())",
        "SELECT public.drop_partition('scheduling_charge_default')",
        "SELECT * FROM scheduling_charge_default",
        "UPDATE tenants_tenant SET status = 'active'",
        "UPDATE tenants_plan SET weight = 100",
        "UPDATE tenants_auditlogentry SET reason = ''",
        "DELETE FROM tenants_auditlogentry",
        "DELETE FROM django_migrations",
    ],
)
def test_restricted_role_cannot_disable_row_security(in_acme, statement):
    refusal = r"permission denied|must be owner|must have admin option"
    with pytest.raises(ProgrammingError, match=refusal), transaction.atomic():
        run_sql(statement)


def test_audit_log_is_append_only_in_the_platform_scope(acme):
    with all_tenants():
        kept = AuditLogEntry.objects.count()
        assert kept > 0
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            run_sql("UPDATE tenants_auditlogentry SET reason = ''")
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            run_sql("DELETE FROM tenants_auditlogentry")
        assert AuditLogEntry.objects.count() == kept


def test_row_security_off_is_an_error(acme, theirs):
    with tenant_context(acme), pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        run_sql("SET LOCAL row_security = off")
        run_sql("SELECT * FROM tenants_apikey")


def test_platform_role_is_not_inherited(theirs):
    # If it were, the login role would see everything without SET ROLE.
    assert run_sql("SELECT pg_has_role(session_user, %s, 'MEMBER')", PLATFORM) == [(True,)]
    assert run_sql("SELECT pg_has_role(session_user, %s, 'USAGE')", PLATFORM) == [(False,)]
    assert run_sql("SELECT 1 FROM tenants_apikey") == []


def test_plans_are_readable_by_every_tenant(acme):
    with tenant_context(acme):
        assert Plan.objects.count() == 3


@pytest.mark.django_db(transaction=True)
class TestOtherSessions:
    """Sessions outside Django: they see committed rows, and row-level security still holds."""

    def test_force_applies_row_security_to_the_owner(self, django_db_setup, acme):
        make_key(acme, "a", enter=True)
        with connect_as_owner(django_db_setup.name) as owner:
            assert owner.execute("SELECT count(*) FROM tenants_apikey").fetchone() == (0,)
            assert owner.execute("UPDATE tenants_apikey SET name = 'x'").rowcount == 0
            with owner.transaction():
                owner.execute(f"SET LOCAL ROLE {PLATFORM}")
                assert owner.execute("SELECT name FROM tenants_apikey").fetchall() == [("a",)]

    def test_session_without_the_setting_sees_nothing(self, acme):
        make_key(acme, "a", enter=True)
        connection.close()  # the next statement opens a new session
        assert run_sql("SELECT current_setting('app.tenant_id', true)") == [(None,)]
        assert run_sql("SELECT 1 FROM tenants_apikey") == []
