"""What documents take up is counted and limited by plan."""

from django.db import migrations

from tenants.database.rls import migration_door

CHUNKS, BYTES = "vector_chunks", "storage_bytes"
GIB = 1024**3
# slug: chunks, bytes. For the plans that an installation begins with; others have no limit until they are given one.
SPACE = {
    "sandbox": (100_000, 1 * GIB),
    "team": (1_000_000, 10 * GIB),
    "professional": (10_000_000, 100 * GIB),
}
COUNT = """
    INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
    SELECT tenant_id, 'vector_chunks', DATE '1970-01-01', sum(coalesce(chunks_total, 0))::bigint
    FROM retrieval_document GROUP BY 1
    UNION ALL
    SELECT tenant_id, 'storage_bytes', DATE '1970-01-01', sum(size_bytes)::bigint
    FROM (SELECT DISTINCT ON (tenant_id, storage_key) tenant_id, size_bytes FROM retrieval_document) AS content
    GROUP BY 1
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
"""
FORGET = "DELETE FROM tenants_tenantusage WHERE key IN ('vector_chunks', 'storage_bytes')"


def put_space(apps, schema_editor):
    Plan, PlanLimit = apps.get_model("tenants", "Plan"), apps.get_model("tenants", "PlanLimit")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        for plan in Plan.objects.using(alias).filter(slug__in=SPACE):
            for key, value in zip((CHUNKS, BYTES), SPACE[plan.slug], strict=True):
                PlanLimit.objects.using(alias).get_or_create(plan=plan, key=key, defaults={"value": value})
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(COUNT)


def take_space(apps, schema_editor):
    PlanLimit = apps.get_model("tenants", "PlanLimit")
    with migration_door(schema_editor):
        PlanLimit.objects.using(schema_editor.connection.alias).filter(key__in=(CHUNKS, BYTES)).delete()
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(FORGET)


class Migration(migrations.Migration):
    dependencies = [("retrieval", "0002_row_security"), ("tenants", "0006_limits")]

    operations = [migrations.RunPython(put_space, take_space)]
