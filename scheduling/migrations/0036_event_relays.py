"""How far what happens to jobs has been told to its subscribers. A new table: nobody waits."""

import uuid

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0035_lean_executions"),
    ]

    operations = [
        migrations.CreateModel(
            "EventRelay",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("settled", models.BigIntegerField()),
                ("until", models.BigIntegerField(help_text="Empty while nothing is being told.", null=True)),
                (
                    "event_id",
                    models.UUIDField(default=uuid.UUID(int=0), help_text="The last event that was told of these."),
                ),
                (
                    "target_id",
                    models.UUIDField(default=uuid.UUID(int=0), help_text="Its subscriber that was told last."),
                ),
                (
                    "since",
                    models.DateTimeField(help_text="No event that is still to be told was written before."),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When a tenant that is behind goes on.",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_event_relay",
                "constraints": [
                    models.UniqueConstraint(fields=["tenant"], nulls_distinct=False, name="event_relay_of_tenant")
                ],
            },
        ),
        EnableRowSecurity("EventRelay"),
    ]
