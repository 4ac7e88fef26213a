"""Limits of plans and of single tenants."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity

# Counters are written a few times a second: updates stay on their page.
ROOMY = "ALTER TABLE tenants_tenantusage SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)"
PLAIN = "ALTER TABLE tenants_tenantusage RESET (fillfactor, autovacuum_vacuum_scale_factor)"


def tenant():
    return models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
    )


def key_of(*columns):
    return models.CompositePrimaryKey(*columns, blank=True, editable=False, primary_key=True, serialize=False)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_audit_chain")]

    operations = [
        migrations.CreateModel(
            name="TenantUsage",
            fields=[
                ("pk", key_of("tenant_id", "key", "period")),
                ("key", models.CharField(max_length=100)),
                ("period", models.DateField()),
                ("amount", models.BigIntegerField(default=0)),
                ("tenant", tenant()),
            ],
        ),
        migrations.CreateModel(
            name="LimitWarning",
            fields=[
                ("pk", key_of("tenant_id", "key", "period", "percent")),
                ("key", models.CharField(max_length=100)),
                ("period", models.DateField()),
                ("percent", models.PositiveSmallIntegerField()),
                ("used", models.BigIntegerField(help_text="In what the counter counts.")),
                ("allowed", models.BigIntegerField(help_text="In the limit's own unit.")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "is_released",
                    models.BooleanField(db_default=False, help_text="Its period is over, and its tenant runs again."),
                ),
                ("tenant", tenant()),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_released", False), ("percent", 100)),
                        fields=["period"],
                        name="limit_warning_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TenantLimit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=100)),
                ("value", models.PositiveBigIntegerField(help_text="In the limit's own unit.")),
                ("reason", models.CharField(max_length=500)),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="From then on the plan counts again.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("tenant", tenant()),
            ],
            options={
                "ordering": ["key"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)),
                        fields=["expires_at"],
                        name="tenant_limit_expires",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("tenant", "key"), name="tenant_limit_key_unique")],
            },
        ),
        migrations.RunSQL(ROOMY, PLAIN),
        # What a tenant may is the platform's to say; what it stores is counted in its own transactions.
        EnableRowSecurity("TenantLimit", app_may=["SELECT"]),
        EnableRowSecurity("TenantUsage", app_may=["SELECT", "INSERT", "UPDATE"]),
        EnableRowSecurity("LimitWarning", app_may=["SELECT", "INSERT"]),
    ]
