"""Processor time and storage traffic of executions, in the history, the ledger and the counters of months."""

from django.db import migrations, models
from django.db.models import Value

_CPU = "Processor time; empty if unknown."
_IO = "To and from storage; empty if unknown."


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0033_outbox")]

    operations = [
        migrations.AddField(
            "execution", "cpu_us", models.BigIntegerField(help_text=_CPU, null=True, verbose_name="cpu us")
        ),
        migrations.AddField(
            "execution", "io_bytes", models.BigIntegerField(help_text=_IO, null=True, verbose_name="io bytes")
        ),
        migrations.AddField("charge", "cpu_us", models.BigIntegerField(null=True, verbose_name="cpu us")),
        migrations.AddField(
            "charge", "peak_memory_kib", models.BigIntegerField(null=True, verbose_name="peak memory kib")
        ),
        migrations.AddField("charge", "io_bytes", models.BigIntegerField(null=True, verbose_name="io bytes")),
        migrations.AlterField(
            "worker",
            "sandbox",
            models.JSONField(
                blank=True,
                db_default=Value({}, models.JSONField()),
                default=dict,
                help_text="Layers and protections of the extraction sandbox on its host, and the limits of its children.",
                verbose_name="sandbox",
            ),
        ),
        migrations.RunSQL(
            "ALTER TABLE scheduling_settled ADD COLUMN cpu_us bigint, ADD COLUMN io_bytes bigint",
            "ALTER TABLE scheduling_settled DROP COLUMN cpu_us, DROP COLUMN io_bytes",
            state_operations=[
                migrations.AddField(model_name="settled", name=name, field=models.BigIntegerField(null=True))
                for name in ("cpu_us", "io_bytes")
            ],
        ),
    ]
