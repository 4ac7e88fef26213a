"""Endpoints for the tenants whose settings named some. The settings stay stored, for a reversal."""

from django.db import migrations

from tenants.database.rls import cross_tenant_migration

_SETTING = "workflow_execution.llm"
_DECLARED = f"""
WITH declared AS (
    SELECT
        tenant_id, 'own' AS name, stored ->> '{_SETTING}_url' AS url, stored ->> '{_SETTING}_key' AS key,
        stored ->> '{_SETTING}_model' AS model, true AS is_first
    FROM tenants_tenantsettings
    UNION ALL
    SELECT tenant_id, one ->> 'name', one ->> 'url', one ->> 'key', one ->> 'model', false
    FROM tenants_tenantsettings, jsonb_array_elements(stored -> '{_SETTING}_fallbacks') AS one
)
"""
_ENDPOINTS = f"""{_DECLARED}
INSERT INTO model_endpoints_modelendpoint (id, tenant_id, name, url, key)
SELECT gen_random_uuid(), tenant_id, name, url, CASE WHEN key LIKE '{{{{ secrets.%%}}}}' THEN key ELSE '' END
FROM declared
WHERE url <> ''
"""
_MODELS = f"""{_DECLARED}
INSERT INTO model_endpoints_endpointmodel (id, tenant_id, endpoint_id, name, use, is_default)
SELECT gen_random_uuid(), tenant_id, e.id, d.model, 'chat', d.is_first
FROM declared AS d
JOIN model_endpoints_modelendpoint AS e USING (tenant_id, name)
WHERE d.model <> '' AND length(d.model) <= 150
"""


def create_endpoints(apps, schema_editor):
    with cross_tenant_migration(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(_ENDPOINTS, [])
        cursor.execute(_MODELS, [])


class Migration(migrations.Migration):
    dependencies = [("model_endpoints", "0001_initial")]

    operations = [migrations.RunPython(create_endpoints, migrations.RunPython.noop)]
