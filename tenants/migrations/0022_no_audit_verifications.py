"""Verifications are runs of upkeep: their table goes."""

from django.db import migrations

from tenants.database.rls import DisableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0021_clear_is_staff")]

    operations = [
        DisableRowSecurity("AuditVerification", app_may=["SELECT", "INSERT", "UPDATE"]),
        migrations.DeleteModel("AuditVerification"),
    ]
