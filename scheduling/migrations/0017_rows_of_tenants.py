"""A tenant's own rows are found without its keys'."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("scheduling", "0016_dispatch_decisions")]

    operations = [
        AddIndexConcurrently(
            "SchedulingEntity",
            models.Index(fields=["tenant", "queue"], condition=Q(parent=None), name="entity_of_tenant"),
        ),
    ]
