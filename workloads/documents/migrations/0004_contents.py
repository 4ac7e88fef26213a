"""The files of documents are contents by now, which are found by their keys."""

from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models

from tenants.database.rls import migration_door

PUT = """
    INSERT INTO files_content (id, tenant_id, key, sha256, size_bytes, stored_at, held_until)
    SELECT DISTINCT ON (tenant_id, storage_key) id, tenant_id, storage_key, sha256, size_bytes, created_at, now()
    FROM retrieval_document ORDER BY tenant_id, storage_key, id
    ON CONFLICT (tenant_id, key) DO NOTHING
"""


def put_contents(apps, schema_editor):
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(PUT)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("retrieval", "0003_space"), ("files", "0001_contents")]

    operations = [
        migrations.RunPython(put_contents, migrations.RunPython.noop),
        AddIndexConcurrently("document", models.Index(fields=["tenant", "storage_key"], name="document_file")),
        RemoveIndexConcurrently("document", "document_content"),
    ]
