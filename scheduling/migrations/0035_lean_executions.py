"""Executions in flight lean on their job's keys: three look-ups and locks fewer for every hand-out."""

import django.db.models.deletion
from django.db import migrations, models

RELATIONS = {"pool": "scheduling.workerpool", "queue": "scheduling.queue", "tenant": "tenants.tenant"}


class Migration(migrations.Migration):
    """Only constraints go; each wants its tables to itself for an instant."""

    dependencies = [("scheduling", "0034_bulk_operations"), ("tenants", "0015_data_keys")]

    operations = [
        migrations.AlterField(
            model_name="liveexecution",
            name=name,
            field=models.ForeignKey(
                db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, to=to
            ),
        )
        for name, to in RELATIONS.items()
    ]
