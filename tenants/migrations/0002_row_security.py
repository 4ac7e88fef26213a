"""The second wall around the tables of this app, and the functions that make and drop partitions."""

from django.db import migrations

from tenants.database.partitions import CreatePartitionFunctions
from tenants.database.rls import EnableRowSecurity

READ = ["SELECT"]
APPEND = ["SELECT", "INSERT"]


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_tenancy")]

    operations = [
        CreatePartitionFunctions(),
        # Everybody reads what the plans are; only the platform changes them.
        EnableRowSecurity("Tier", column=None, app_may=READ),
        EnableRowSecurity("Plan", column=None, app_may=READ),
        EnableRowSecurity("PlanLimit", column=None, app_may=READ),
        # A tenant sees itself; what it may change about itself goes through services behind the door.
        EnableRowSecurity("Tenant", column="id", app_may=READ),
        EnableRowSecurity("Membership"),
        EnableRowSecurity("ApiKey"),
        EnableRowSecurity("AuditLogEntry", app_may=APPEND, platform_may=APPEND),
    ]
