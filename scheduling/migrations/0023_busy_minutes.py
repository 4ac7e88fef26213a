"""What tenants used by the minute, read from an index without the wide rows beside it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("scheduling", "0022_history_by_tenant")]

    operations = [
        # What an interrupted try has left would be in the way.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS tenant_minute_busy", migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name="tenantminute",
            index=models.Index(fields=["tenant", "minute"], include=["queue", "busy_us"], name="tenant_minute_busy"),
        ),
    ]
