"""The alert rule about log-ins with accounts for emergencies."""

from django.db import migrations

from scheduling.migrations._alert_seeds import IDENTITY_RULES, add_rules
from tenants.database.rls import cross_tenant_migration


def create_rules(apps, schema_editor):
    add_rules(apps, schema_editor, IDENTITY_RULES)


def delete_rules(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias)
        rules.filter(measure="break_glass").delete()


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0040_archive_objects")]

    operations = [migrations.RunPython(create_rules, delete_rules)]
