"""Named secrets of tenants, sealed; the secrets among the settings become such."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity, migration_door

# The one secret among the settings, of an app that may be left out.
KEY = "workflow_execution.llm_key"


def forget_plain_keys(apps, schema_editor):
    """Take keys that stand in plain out of the settings: they are given anew, and are stored sealed then."""
    rows = apps.get_model("tenants", "TenantSettings")._base_manager.using(schema_editor.connection.alias)
    with migration_door(schema_editor):
        for row in rows.filter(stored__has_key=KEY):
            del row.stored[KEY]
            row.version += 1
            row.save(update_fields=["stored", "version"])


class Migration(migrations.Migration):
    dependencies = [("tenants", "0017_auditor")]

    operations = [
        migrations.CreateModel(
            name="TenantSecret",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(help_text="It is used as {{ secrets.name }}.", max_length=63)),
                (
                    "hosts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255),
                        help_text="The hosts that it is sent to, and no others.",
                        size=None,
                    ),
                ),
                (
                    "version",
                    models.PositiveIntegerField(default=1, editable=False, help_text="Rises with each new value."),
                ),
                ("sealed", models.JSONField(editable=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("created_by", models.CharField(editable=False, max_length=200)),
                (
                    "changed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="When its value was last replaced.",
                    ),
                ),
                ("changed_by", models.CharField(editable=False, max_length=200)),
                ("last_used_at", models.DateTimeField(editable=False, help_text="To the minute.", null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "secret",
                "constraints": [models.UniqueConstraint(fields=("tenant", "name"), name="tenant_secret_name_unique")],
            },
        ),
        EnableRowSecurity("TenantSecret"),
        migrations.RunPython(forget_plain_keys, migrations.RunPython.noop),
    ]
