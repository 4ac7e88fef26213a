"""The tables of webhook triggers and of their last deliveries."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0012_access_reviews"),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookTrigger",
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
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "kind",
                    models.CharField(
                        blank=True, help_text="The kind of the job that is started.", max_length=64, verbose_name="kind"
                    ),
                ),
                (
                    "template",
                    models.CharField(
                        blank=True,
                        help_text="Or the name of a job template, in place of a kind.",
                        max_length=50,
                        verbose_name="template",
                    ),
                ),
                (
                    "workflow",
                    models.CharField(
                        blank=True,
                        help_text="Or the name of a workflow, in place of a kind.",
                        max_length=100,
                        verbose_name="workflow",
                    ),
                ),
                (
                    "mapping",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text='The payload, the parameters or the inputs, such as {"order": {"ref": "inputs.body.id"}}, with values inputs.body, inputs.headers and inputs.query of the request. Empty: the body.',
                        verbose_name="mapping",
                    ),
                ),
                (
                    "headers",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        help_text="Names of the headers that the mapping may read, such as X-Event; it reads inputs.headers.x_event.",
                        size=20,
                        verbose_name="headers",
                    ),
                ),
                (
                    "deduplicate_by",
                    models.CharField(
                        blank=True,
                        help_text="A value of the body, such as inputs.body.id; an equal one starts nothing again. Empty: the request's id.",
                        max_length=500,
                        verbose_name="deduplicate by",
                    ),
                ),
                (
                    "signature",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("standard", "as the platform's webhooks (Standard Webhooks)"),
                            ("github", "as GitHub: X-Hub-Signature-256"),
                        ],
                        default="standard",
                        max_length=10,
                        verbose_name="signature",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
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
                "verbose_name": "webhook trigger",
                "verbose_name_plural": "webhook triggers",
                "db_table": "triggers_webhook_trigger",
            },
        ),
        migrations.CreateModel(
            name="TriggerDelivery",
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
                    "status",
                    models.PositiveSmallIntegerField(help_text="Status of the response.", verbose_name="status"),
                ),
                (
                    "job_id",
                    models.UUIDField(
                        help_text="The job that was started, or that existed.", null=True, verbose_name="job id"
                    ),
                ),
                ("is_duplicate", models.BooleanField(default=False, verbose_name="duplicate")),
                ("error", models.TextField(blank=True, max_length=500, verbose_name="error")),
                (
                    "received_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="received at"
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
                    "trigger",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="triggers.webhooktrigger",
                        verbose_name="trigger",
                    ),
                ),
            ],
            options={
                "verbose_name": "delivery to a trigger",
                "verbose_name_plural": "deliveries to triggers",
                "db_table": "triggers_delivery",
            },
        ),
        migrations.AddConstraint(
            model_name="webhooktrigger",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="webhook_trigger_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="webhooktrigger",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="webhook_trigger_name"),
        ),
        migrations.AddIndex(
            model_name="triggerdelivery",
            index=models.Index(fields=["tenant", "trigger", "-id"], name="delivery_of_trigger"),
        ),
        EnableRowSecurity("WebhookTrigger"),
        EnableRowSecurity("TriggerDelivery"),
        AddCompositeForeignKey(
            "TriggerDelivery", columns=("tenant_id", "trigger_id"), to="triggers.WebhookTrigger", on_delete="CASCADE"
        ),
    ]
