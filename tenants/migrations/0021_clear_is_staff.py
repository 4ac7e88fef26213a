"""Earlier versions set `is_staff` of members and people of the platform, which opens admin pages of a host project."""

from django.conf import settings
from django.db import migrations

from tenants.database.rls import migration_door


def clear_is_staff(apps, schema_editor):
    alias = schema_editor.connection.alias
    holders = (apps.get_model("tenants", "Membership"), apps.get_model("tenants", "PlatformMembership"))
    with migration_door(schema_editor):
        ids = {pk for rows in holders for pk in rows._base_manager.using(alias).values_list("user_id", flat=True)}
    users = apps.get_model(settings.AUTH_USER_MODEL)._base_manager.using(alias)
    users.filter(pk__in=ids, is_staff=True, is_superuser=False).update(is_staff=False)


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("tenants", "0020_rotated_keys"),
    ]

    operations = [migrations.RunPython(clear_is_staff, migrations.RunPython.noop)]
