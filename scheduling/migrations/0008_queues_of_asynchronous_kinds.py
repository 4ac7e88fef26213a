"""A tier row's second queue, for asynchronous kinds. Rows without one use their only queue, so none is written."""

import django.db.models.deletion
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0007_job_concurrency_key_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="cfsplantier",
            name="io_queue",
            field=models.ForeignKey(
                blank=True,
                help_text="A queue of an I/O pool; empty: the same queue.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="scheduling.queue",
                verbose_name="queue of asynchronous kinds",
            ),
        ),
        migrations.AlterField(
            model_name="cfsplantier",
            name="weight",
            field=models.PositiveIntegerField(
                default=1,
                help_text="Overrides the queues' own weight while this plan is active.",
                validators=[MinValueValidator(1), MaxValueValidator(1000)],
                verbose_name="weight",
            ),
        ),
    ]
