"""Which events of jobs a webhook is told of: none, for those that are there. Constant defaults: no row is rewritten."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0001_webhooks"),
    ]

    operations = [
        migrations.AddField(
            "webhook",
            "events",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64),
                blank=True,
                db_default=[],
                default=list,
                help_text="What it is told of the tenant's jobs.",
                size=None,
            ),
        ),
        migrations.AddField(
            "webhook",
            "job_filter",
            models.TextField(blank=True, db_default="", help_text="Of which jobs; empty: of all."),
        ),
        migrations.AddField(
            "webhook",
            "events_since",
            models.DateTimeField(editable=False, help_text="It is told what happened since.", null=True),
        ),
        migrations.AddIndex(
            "webhook",
            models.Index(
                condition=models.Q(("events_since__isnull", False)), fields=["tenant"], name="webhook_subscribed"
            ),
        ),
    ]
