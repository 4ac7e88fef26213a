"""The receipt of a message by a child, and whether the message is a prefetch list. Both columns are added without a rewrite."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0003_concurrency_key_indexes"),
    ]

    operations = [
        migrations.AddField(
            model_name="liveexecution",
            name="hold_id",
            field=models.UUIDField(
                help_text="The receipt of its message by a worker's child.", null=True, verbose_name="hold id"
            ),
        ),
        migrations.AddField(
            model_name="liveexecution",
            name="is_list",
            field=models.BooleanField(
                db_default=False,
                help_text="Whether the executions of its message begin and end one by one, instead of all together.",
                verbose_name="is list",
            ),
        ),
    ]
