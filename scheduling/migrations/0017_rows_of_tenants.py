"""A tenant's own rows are found without its keys'."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("scheduling", "0016_dispatch_decisions")]

    operations = [
        # What an interrupted try has left would be in the way.
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS entity_of_tenant", migrations.RunSQL.noop),
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(fields=["tenant", "queue"], condition=Q(parent=None), name="entity_of_tenant"),
        ),
    ]
