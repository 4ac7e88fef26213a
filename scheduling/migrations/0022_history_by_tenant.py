"""A tenant's charges and lines of logs by an index: for the proof of its ledger and for its plan's retention."""

from django.db import migrations, models

from tenants.database.partitions import AddPartitionedIndex


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("scheduling", "0021_slice_charges")]

    operations = [
        AddPartitionedIndex("Charge", models.Index(fields=["tenant", "id"], name="charge_by_tenant")),
        AddPartitionedIndex("JobLog", models.Index(fields=["tenant", "id"], name="job_log_by_tenant")),
    ]
