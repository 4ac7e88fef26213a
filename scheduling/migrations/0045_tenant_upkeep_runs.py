"""Runs of upkeep over one tenant. A new table alone."""

import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0044_order_of_history"),
        ("tenants", "0021_clear_is_staff"),
    ]

    operations = [
        migrations.CreateModel(
            name="TenantUpkeepRun",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=64)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("counts", models.JSONField(default=dict, help_text="What was done, by name.")),
                (
                    "findings",
                    models.JSONField(
                        default=list, help_text="What is wrong, in words; a run with findings has failed."
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("cursor", models.JSONField(default=dict, help_text="Where the next run goes on.")),
                ("lease_expires_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("requested", "Requested"),
                            ("running", "Running"),
                            ("ok", "Ok"),
                            ("partial", "more to do"),
                            ("failed", "Failed"),
                        ],
                        default="requested",
                        max_length=10,
                    ),
                ),
                ("requested_by", models.CharField(blank=True, max_length=200)),
                ("requested_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_tenant_upkeep_run",
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["tenant", "-id"], name="tenant_upkeep_run_by_tenant")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("outcome__in", ["requested", "running", "partial"])),
                        fields=("tenant", "name"),
                        name="tenant_upkeep_one_open_run",
                    )
                ],
            },
        ),
        EnableRowSecurity("TenantUpkeepRun", app_may=["SELECT", "INSERT"]),
    ]
