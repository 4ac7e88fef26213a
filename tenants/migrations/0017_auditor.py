"""The auditor's login alone seals, signs and prunes the audit log; each chain has a counter that only rises."""

from datetime import UTC, datetime
from importlib import import_module

import django.core.serializers.json
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.audit.chain
import tenants.database.ids
from tenants.database.auditor_policies import AllowAuditor
from tenants.database.conf import platform_role
from tenants.database.rls import EnableRowSecurity, migration_door

DATES = (datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))
# What pruning may delete: what a checkpoint covers, or a chain that has its final head.
PRUNABLE = import_module("tenants.migrations.0005_audit_chain").DELETE_POLICIES

# The application's roles keep the right to append entries; the queue is filled by the trigger, as the tables' owner.
CLOSE_TO_APPLICATION = """
DROP POLICY platform_door_delete ON tenants_auditlogentry;
DROP POLICY platform_door_delete ON tenants_auditseal;
DROP POLICY platform_door_insert ON tenants_auditseal;
DROP POLICY platform_door_delete ON tenants_audithead;
DROP POLICY platform_door_insert ON tenants_audithead;
DROP POLICY platform_door_delete ON tenants_auditpending;
DROP POLICY platform_door_insert ON tenants_auditpending;
DROP POLICY tenant_isolation_insert ON tenants_auditpending;
CREATE POLICY queue_keeper ON tenants_auditpending FOR INSERT TO CURRENT_USER WITH CHECK (true);
ALTER FUNCTION public.queue_audit_entries() SECURITY DEFINER;
REVOKE ALL ON FUNCTION public.queue_audit_entries() FROM PUBLIC;
"""
OPEN_TO_APPLICATION = f"""
GRANT EXECUTE ON FUNCTION public.queue_audit_entries() TO PUBLIC;
ALTER FUNCTION public.queue_audit_entries() SECURITY INVOKER;
DROP POLICY queue_keeper ON tenants_auditpending;
CREATE POLICY tenant_isolation_insert ON tenants_auditpending FOR INSERT TO PUBLIC
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid);
CREATE POLICY platform_door_insert ON tenants_auditpending FOR INSERT TO jobs_platform_role WITH CHECK (true);
CREATE POLICY platform_door_delete ON tenants_auditpending FOR DELETE TO jobs_platform_role USING (true);
CREATE POLICY platform_door_insert ON tenants_audithead FOR INSERT TO jobs_platform_role WITH CHECK (true);
CREATE POLICY platform_door_insert ON tenants_auditseal FOR INSERT TO jobs_platform_role WITH CHECK (true);
{" ".join(f"CREATE POLICY platform_door_delete ON {table} FOR DELETE TO jobs_platform_role USING ({rows});" for table, rows in PRUNABLE.items())}
"""
# By hops along the index, for the sealer waits meanwhile.
LAST_SEALS = """
WITH RECURSIVE chains AS (
    (SELECT chain FROM tenants_auditseal ORDER BY chain LIMIT 1)
    UNION ALL
    SELECT (SELECT s.chain FROM tenants_auditseal s WHERE s.chain > c.chain ORDER BY s.chain LIMIT 1)
    FROM chains c WHERE c.chain IS NOT NULL
)
SELECT c.chain, l.sequence, l.hash,
    coalesce((SELECT max(h.sequence) FROM tenants_audithead h WHERE h.chain = c.chain), 0), NULL
FROM chains c,
LATERAL (SELECT sequence, hash FROM tenants_auditseal s WHERE s.chain = c.chain ORDER BY sequence DESC LIMIT 1) l
"""
# Of tenants that were erased before: nothing but the entry of the erasure holds their final heads.
FINAL_HEADS = """
SELECT DISTINCT ON (head ->> 'chain')
    head ->> 'chain', head ->> 'sequence', head ->> 'hash', head ->> 'sequence', head::text
FROM (SELECT id, after -> 'final_head' AS head FROM tenants_auditlogentry
      WHERE tenant_id IS NULL AND action = 'tenant.erased') e
WHERE head ->> 'chain' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
    AND head ->> 'sequence' ~ '^[0-9]{1,18}$' AND head ->> 'hash' ~ '^[0-9a-f]{64}$'
ORDER BY head ->> 'chain', id DESC
"""
FILL_COUNTER = """
INSERT INTO tenants_auditcounter (chain, sequence, hash, signed_sequence, final_head)
VALUES (%s::uuid, %s::bigint, %s, %s::bigint, %s::jsonb) ON CONFLICT (chain) DO NOTHING
"""
CREATE_COUNTERS = """
CREATE POLICY counter_keeper ON tenants_auditcounter FOR ALL TO CURRENT_USER USING (true) WITH CHECK (true);
CREATE FUNCTION public.count_audit_seals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditcounter AS c (chain, sequence, hash, signed_sequence)
    SELECT DISTINCT ON (chain) chain, sequence, hash, 0 FROM fresh ORDER BY chain, sequence DESC
    ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
        WHERE c.sequence < excluded.sequence;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.count_audit_seals() FROM PUBLIC;
CREATE TRIGGER count_seals AFTER INSERT ON tenants_auditseal
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.count_audit_seals();
CREATE FUNCTION public.count_audit_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditcounter AS c (chain, sequence, hash, signed_sequence, final_head)
    VALUES (NEW.chain, NEW.sequence, NEW.hash, NEW.sequence, CASE NEW.kind WHEN 'final' THEN to_jsonb(NEW) END)
    ON CONFLICT (chain) DO UPDATE SET signed_sequence = greatest(c.signed_sequence, excluded.signed_sequence),
        final_head = coalesce(excluded.final_head, c.final_head);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.count_audit_head() FROM PUBLIC;
CREATE TRIGGER count_head AFTER INSERT ON tenants_audithead FOR EACH ROW EXECUTE FUNCTION public.count_audit_head();
"""
DROP_COUNTERS = """
DROP TRIGGER count_head ON tenants_audithead;
DROP FUNCTION public.count_audit_head();
DROP TRIGGER count_seals ON tenants_auditseal;
DROP FUNCTION public.count_audit_seals();
DROP POLICY counter_keeper ON tenants_auditcounter;
"""
# What the auditor has done is the auditor's to say, and when a request came the server's. None but of a tenant that there
# is or of the platform, and one of a kind: so many forged requests that they hide a real one cannot be written.
OPEN_REQUESTS_ALONE = """
ALTER POLICY platform_door_insert ON tenants_auditremoval WITH CHECK (
    done_at IS NULL AND removed = '{}'::jsonb AND requested_at BETWEEN transaction_timestamp() AND clock_timestamp()
    AND (chain = '00000000-0000-0000-0000-000000000000'
         OR EXISTS (SELECT FROM tenants_tenant t WHERE t.id = tenants_auditremoval.chain)))
"""
# The sealer reads 500 entries a turn into memory, and no date that Python cannot hold. The services write 8 KiB at most,
# which PostgreSQL may write with five times as many characters.
BOUND_ENTRIES = """
ALTER TABLE tenants_auditlogentry
ADD CONSTRAINT audit_entry_bounded CHECK (
    at >= '2000-01-01 00:00+00' AND at < '9999-01-01 00:00+00'
    AND octet_length(before::text) <= 65536 AND octet_length(after::text) <= 65536) NOT VALID
"""
RELEASE_ENTRIES = "ALTER TABLE tenants_auditlogentry DROP CONSTRAINT audit_entry_bounded"


def fill_counters(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        with migration_door(schema_editor):
            cursor.execute(LAST_SEALS)
            rows = cursor.fetchall()
            cursor.execute(FINAL_HEADS)
            rows += cursor.fetchall()
        cursor.executemany(FILL_COUNTER, rows)


def close_to_application(apps, schema_editor):
    schema_editor.execute(CLOSE_TO_APPLICATION)


def open_to_application(apps, schema_editor):
    platform = schema_editor.quote_name(platform_role())
    schema_editor.execute(OPEN_TO_APPLICATION.replace("jobs_platform_role", platform))


class Migration(migrations.Migration):
    dependencies = [("tenants", "0016_expiring_keys")]

    operations = [
        migrations.CreateModel(
            name="AuditCounter",
            fields=[
                ("chain", models.UUIDField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(default=0)),
                ("hash", models.CharField(default=tenants.audit.chain.GENESIS, max_length=64)),
                ("signed_sequence", models.BigIntegerField(default=0)),
                ("final_head", models.JSONField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="AuditRemoval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("chain", models.UUIDField()),
                (
                    "kind",
                    models.CharField(choices=[("retention", "Retention"), ("erasure", "Erasure")], max_length=10),
                ),
                ("before", models.DateTimeField(help_text="Entries that were sealed earlier go.")),
                ("requested_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("done_at", models.DateTimeField(null=True)),
                (
                    "removed",
                    models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("chain", "kind"), name="audit_removal_one_of_kind"),
                    models.CheckConstraint(
                        condition=models.Q(before__range=DATES),
                        name="audit_removal_before_is_a_date",
                    ),
                ]
            },
        ),
        EnableRowSecurity("AuditCounter", column="chain", app_may=["SELECT"], platform_may=["SELECT"]),
        EnableRowSecurity("AuditRemoval", column="chain", app_may=[], platform_may=["SELECT", "INSERT", "DELETE"]),
        migrations.RunSQL(OPEN_REQUESTS_ALONE, migrations.RunSQL.noop),
        migrations.RunSQL(CREATE_COUNTERS, DROP_COUNTERS),
        migrations.RunPython(fill_counters, migrations.RunPython.noop),
        migrations.RunSQL(BOUND_ENTRIES, RELEASE_ENTRIES),
        migrations.RunPython(close_to_application, open_to_application),
        AllowAuditor(
            "AuditLogEntry",
            {
                "SELECT": "true",
                "INSERT": "tenant_id IS NULL AND action = 'audit.pruned'",
                "DELETE": PRUNABLE["tenants_auditlogentry"],
            },
        ),
        AllowAuditor("AuditPending", {"SELECT": "true", "DELETE": "true"}),
        AllowAuditor("AuditSeal", {"SELECT": "true", "INSERT": "true", "DELETE": PRUNABLE["tenants_auditseal"]}),
        AllowAuditor("AuditHead", {"SELECT": "true", "INSERT": "true", "DELETE": PRUNABLE["tenants_audithead"]}),
        AllowAuditor("AuditCounter", {"SELECT": "true"}),
        AllowAuditor("AuditRemoval", {"SELECT": "true", "UPDATE": "true", "DELETE": "true"}),
    ]
