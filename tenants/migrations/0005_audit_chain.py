"""The chain of the audit log: the queue of what waits for its seal, seals, signed heads, and what pruning may remove.

Not atomic as a whole, because indexes of a table in use are built concurrently; what belongs together is one operation.
"""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from psycopg import sql

import tenants.database.ids
from tenants.database.conf import platform_role
from tenants.database.rls import EnableRowSecurity, migration_door

READ = ["SELECT"]
APPEND = ["SELECT", "INSERT"]
QUEUE = ["SELECT", "INSERT", "DELETE"]
PLATFORM_CHAIN = uuid.UUID(int=0)

CREATE_QUEUE_FUNCTION = """
CREATE FUNCTION public.queue_audit_entries() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditpending (entry_id, tenant_id) SELECT id, tenant_id FROM fresh;
    RETURN NULL;
END $$
"""
CREATE_TRIGGER = """
CREATE TRIGGER queue_for_seal AFTER INSERT ON tenants_auditlogentry
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.queue_audit_entries()
"""
DROP_TRIGGER = "DROP TRIGGER queue_for_seal ON tenants_auditlogentry"
# Filled and emptied all the time: vacuumed by count, not by share.
VACUUM_QUEUE = (
    "ALTER TABLE tenants_auditpending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)"
)
# Nothing of the log can be deleted but what a checkpoint covers, or a chain that has its final head. The signatures of
# both are the verifier's affair.
DELETE_POLICIES = {
    "tenants_auditlogentry": """
        EXISTS (SELECT FROM tenants_audithead h
                WHERE h.chain = coalesce(tenants_auditlogentry.tenant_id, '00000000-0000-0000-0000-000000000000')
                  AND h.kind <> 'head'
                  AND (h.kind = 'final' OR EXISTS (
                      SELECT FROM tenants_auditseal s
                      WHERE s.entry_id = tenants_auditlogentry.id AND s.chain = h.chain AND s.sequence <= h.sequence)))
    """,
    "tenants_auditseal": """
        EXISTS (SELECT FROM tenants_audithead h
                WHERE h.chain = tenants_auditseal.chain AND h.kind <> 'head'
                  AND (h.kind = 'final' OR tenants_auditseal.sequence <= h.sequence))
    """,
    "tenants_audithead": """
        EXISTS (SELECT FROM tenants_audithead h
                WHERE h.chain = tenants_audithead.chain AND h.kind <> 'head'
                  AND (h.kind = 'final' OR tenants_audithead.sequence < h.sequence))
    """,
}
QUEUE_OLD_ENTRIES = """
INSERT INTO tenants_auditpending (entry_id, tenant_id)
SELECT e.id, e.tenant_id FROM tenants_auditlogentry e ORDER BY e.id
ON CONFLICT (entry_id) DO NOTHING
"""


class InOneTransaction(migrations.SeparateDatabaseAndState):
    """Operations that happen together or not at all, in a migration that is not atomic."""

    atomic = True

    def __init__(self, operations):
        super().__init__(database_operations=operations, state_operations=operations)

    def deconstruct(self):
        return type(self).__name__, [self.database_operations], {}


def allow_pruning(apps, schema_editor):
    for table, condition in DELETE_POLICIES.items():
        statement = sql.SQL("CREATE POLICY platform_door_delete ON {} FOR DELETE TO {} USING ({})").format(
            sql.Identifier(table), sql.Identifier(platform_role()), sql.SQL(condition)
        )
        schema_editor.execute(statement.as_string(schema_editor.connection.connection))


def forbid_pruning(apps, schema_editor):
    for table in DELETE_POLICIES:
        schema_editor.execute(f"DROP POLICY platform_door_delete ON {table}")


def queue_old_entries(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(QUEUE_OLD_ENTRIES)


CREATE_TABLES = [
    migrations.CreateModel(
        name="AuditPending",
        fields=[
            ("entry_id", models.UUIDField(primary_key=True, serialize=False)),
            ("tenant_id", models.UUIDField(null=True)),
            ("queued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
        ],
    ),
    migrations.CreateModel(
        name="AuditSeal",
        fields=[
            (
                "entry",
                models.OneToOneField(
                    db_constraint=False,
                    on_delete=django.db.models.deletion.DO_NOTHING,
                    primary_key=True,
                    related_name="seal",
                    serialize=False,
                    to="tenants.auditlogentry",
                ),
            ),
            ("chain", models.UUIDField()),
            ("sequence", models.BigIntegerField()),
            ("entry_hash", models.CharField(max_length=64)),
            ("previous_hash", models.CharField(max_length=64)),
            ("hash", models.CharField(max_length=64)),
            ("sealed_at", models.DateTimeField()),
        ],
        options={
            "constraints": [
                models.UniqueConstraint(fields=("chain", "sequence"), name="audit_seal_sequence_unique"),
            ]
        },
    ),
    migrations.CreateModel(
        name="AuditHead",
        fields=[
            (
                "id",
                models.UUIDField(default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False),
            ),
            ("chain", models.UUIDField()),
            (
                "kind",
                models.CharField(
                    choices=[("head", "Head"), ("checkpoint", "Pruned up to here"), ("final", "Erased")],
                    default="head",
                    max_length=10,
                ),
            ),
            ("sequence", models.BigIntegerField()),
            ("hash", models.CharField(max_length=64)),
            ("signed_at", models.DateTimeField()),
            ("key_id", models.CharField(max_length=16)),
            ("signature", models.CharField(max_length=88)),
        ],
        options={
            "indexes": [
                models.Index(fields=["chain", "sequence"], name="audit_head_by_chain"),
                models.Index(
                    condition=models.Q(("kind", "head"), _negated=True),
                    fields=["chain", "-sequence"],
                    name="audit_head_by_checkpoint",
                ),
            ],
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(("chain", PLATFORM_CHAIN), ("kind", "final"), _negated=True),
                    name="audit_head_platform_never_erased",
                ),
                models.CheckConstraint(
                    condition=models.Q(("sequence__gte", 0)), name="audit_head_sequence_not_negative"
                ),
            ],
        },
    ),
    migrations.RunSQL(VACUUM_QUEUE, migrations.RunSQL.noop),
    EnableRowSecurity("AuditPending", app_may=APPEND, platform_may=QUEUE),
    EnableRowSecurity("AuditSeal", column="chain", app_may=READ, platform_may=APPEND),
    EnableRowSecurity("AuditHead", column="chain", app_may=READ, platform_may=APPEND),
    migrations.RunPython(allow_pruning, forbid_pruning),
    migrations.RunSQL(CREATE_QUEUE_FUNCTION, "DROP FUNCTION public.queue_audit_entries()"),
    migrations.RunSQL(CREATE_TRIGGER, DROP_TRIGGER),
]


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0004_platform_roles")]

    operations = [
        InOneTransaction(CREATE_TABLES),
        # After the trigger is there for the new ones, so that none falls between; locks nobody out.
        migrations.RunPython(queue_old_entries, migrations.RunPython.noop),
        *[
            AddIndexConcurrently("AuditLogEntry", models.Index(fields=fields, name=name))
            for name, fields in {
                "audit_by_action": ["action", "-id"],
                "audit_by_tenant_action": ["tenant", "action", "-id"],
                "audit_by_target_id": ["target_id", "-id"],
                "audit_by_actor_label": ["actor_label", "-id"],
                "audit_by_actor_id": ["actor_id", "-id"],
                "audit_by_request": ["request_id", "-id"],
            }.items()
        ],
    ]
