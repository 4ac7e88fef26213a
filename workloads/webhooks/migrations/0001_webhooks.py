"""Webhooks and the attempts to deliver to them, behind both walls."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0014_audit_verifications"),
    ]

    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("url", models.CharField(help_text="http or https; what leads inside is refused.", max_length=2000)),
                ("sealed_secret", models.TextField(editable=False)),
                ("previous_sealed_secret", models.TextField(blank=True, editable=False)),
                (
                    "rotated_at",
                    models.DateTimeField(editable=False, help_text="When the secret was last replaced.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
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
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_id", models.UUIDField(help_text="The job that delivers; its attempts are one delivery.")),
                ("event", models.CharField(max_length=64)),
                ("attempt", models.PositiveSmallIntegerField()),
                (
                    "status",
                    models.PositiveSmallIntegerField(help_text="Of the answer; empty where there was none.", null=True),
                ),
                ("error", models.CharField(blank=True, max_length=500)),
                (
                    "answer",
                    models.CharField(blank=True, help_text="Its beginning, where it is a text.", max_length=1000),
                ),
                ("seconds", models.FloatField()),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "webhook",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="webhooks.webhook",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="webhook_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="webhook_name_unique"),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(fields=["tenant", "webhook", "-id"], name="delivery_of_webhook"),
        ),
        EnableRowSecurity("Webhook"),
        EnableRowSecurity("Delivery"),
        AddCompositeForeignKey(
            "Delivery", columns=("tenant_id", "webhook_id"), to="webhooks.Webhook", on_delete="CASCADE"
        ),
    ]
