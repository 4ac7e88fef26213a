"""Settled rows that no tick could fold. A new table; the old one is small, and changed without being rewritten."""

from django.db import migrations, models

from tenants.database.ids import uuid7
from tenants.database.rls import EnableRowSecurity

# What no process could read is refused at once. Rows without a message hold no place.
LOOSEN = """
    ALTER TABLE scheduling_settled ALTER COLUMN message_id DROP NOT NULL,
        ADD CONSTRAINT settled_ended_at_readable CHECK (ended_at BETWEEN '0001-01-02' AND '9999-12-30')
"""
TIGHTEN = """
    UPDATE scheduling_settled SET message_id = gen_random_uuid() WHERE message_id IS NULL;
    ALTER TABLE scheduling_settled ALTER COLUMN message_id SET NOT NULL, DROP CONSTRAINT settled_ended_at_readable
"""


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0042_locked_tenants")]

    operations = [
        migrations.RunSQL(LOOSEN, TIGHTEN),
        migrations.CreateModel(
            "SettledRefused",
            [
                ("id", models.UUIDField(default=uuid7, editable=False, primary_key=True, serialize=False)),
                ("queue_id", models.BigIntegerField()),
                ("measured_us", models.BigIntegerField()),
                ("content", models.JSONField(help_text="The row of scheduling_settled.")),
                ("error", models.TextField()),
                ("refused_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_settled_refused",
                "indexes": [models.Index(fields=["tenant", "id"], name="settled_refused_by_tenant")],
            },
        ),
        EnableRowSecurity("SettledRefused"),
    ]
