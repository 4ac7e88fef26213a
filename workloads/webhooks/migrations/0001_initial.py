"""The tables of webhooks and their deliveries."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "url",
                    models.CharField(
                        help_text="http or https; private and internal addresses are refused.",
                        max_length=2000,
                        verbose_name="url",
                    ),
                ),
                (
                    "events",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Events of the tenant's jobs that it receives.",
                        size=None,
                        verbose_name="events",
                    ),
                ),
                (
                    "job_filter",
                    models.TextField(
                        blank=True,
                        db_default="",
                        help_text="Filter of jobs; empty: all jobs.",
                        verbose_name="job filter",
                    ),
                ),
                (
                    "events_since",
                    models.DateTimeField(
                        editable=False,
                        help_text="Events after this time are sent to the webhook.",
                        null=True,
                        verbose_name="events since",
                    ),
                ),
                ("sealed_secret", models.TextField(editable=False, verbose_name="sealed secret")),
                (
                    "previous_sealed_secret",
                    models.TextField(blank=True, editable=False, verbose_name="previous sealed secret"),
                ),
                (
                    "rotated_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When the secret was last replaced.",
                        null=True,
                        verbose_name="rotated at",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "webhook",
                "verbose_name_plural": "webhooks",
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                        verbose_name="id",
                    ),
                ),
                (
                    "job_id",
                    models.UUIDField(
                        help_text="The job that delivers; its attempts are one delivery.", verbose_name="job id"
                    ),
                ),
                ("event", models.CharField(max_length=64, verbose_name="event")),
                ("attempt", models.PositiveSmallIntegerField(verbose_name="attempt")),
                (
                    "status",
                    models.PositiveSmallIntegerField(
                        help_text="Status of the response; empty if there was none.", null=True, verbose_name="status"
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
                (
                    "answer",
                    models.CharField(
                        blank=True,
                        help_text="The beginning of the response, if it is text.",
                        max_length=1000,
                        verbose_name="answer",
                    ),
                ),
                ("seconds", models.FloatField(verbose_name="seconds")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
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
                        verbose_name="webhook",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.AddIndex(
            model_name="webhook",
            index=models.Index(
                condition=models.Q(("events_since__isnull", False)), fields=["tenant"], name="webhook_subscribed"
            ),
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
