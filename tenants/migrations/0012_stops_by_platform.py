"""Whether the platform or the tenant itself has paused or drained a tenant: the platform's stop is not the tenant's."""

from django.db import migrations, models

from tenants.database.rls import migration_door


def name_who_stopped(apps, schema_editor):
    """What stands was the tenant's own if one of its keys or of its members did it; all else was the platform."""
    Tenant, Membership = apps.get_model("tenants", "Tenant"), apps.get_model("tenants", "Membership")
    PlatformMembership = apps.get_model("tenants", "PlatformMembership")
    alias = schema_editor.connection.alias
    with migration_door(schema_editor):
        staff = PlatformMembership.objects.using(alias).values("user_id")
        stopped = models.Q(is_paused=True) | models.Q(is_draining=True)
        for tenant in Tenant._base_manager.using(alias).filter(stopped):
            members = Membership._base_manager.using(alias).filter(tenant=tenant, user__is_superuser=False)
            own = {f"user:{name}" for name in members.exclude(user__in=staff).values_list("user__username", flat=True)}
            for verb, by in (("paused", tenant.paused_by), ("draining", tenant.draining_by)):
                is_own = by.startswith("api_key:") or by in own
                setattr(tenant, f"is_{verb}_by_platform", getattr(tenant, f"is_{verb}") and not is_own)
            tenant.save(using=alias, update_fields=["is_paused_by_platform", "is_draining_by_platform"])


class Migration(migrations.Migration):
    dependencies = [("tenants", "0011_plan_bounds")]

    operations = [
        migrations.AddField(
            "Tenant",
            "is_paused_by_platform",
            models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            "Tenant",
            "is_draining_by_platform",
            models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunPython(name_who_stopped, migrations.RunPython.noop),
    ]
