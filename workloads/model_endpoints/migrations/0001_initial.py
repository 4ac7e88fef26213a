"""The tables of model endpoints, of their models, and of used tokens."""

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
            name="ModelEndpoint",
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
                    "requests_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="requests a minute"),
                ),
                (
                    "tokens_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="tokens a minute"),
                ),
                ("name", models.CharField(max_length=40, verbose_name="name")),
                (
                    "provider",
                    models.CharField(
                        choices=[("openai", "OpenAI's API")],
                        db_default="openai",
                        default="openai",
                        max_length=20,
                        verbose_name="provider",
                    ),
                ),
                (
                    "url",
                    models.CharField(
                        help_text="Such as https://api.example.com/v1; private and internal addresses are refused.",
                        max_length=500,
                        verbose_name="base URL",
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        blank=True,
                        help_text="Reference to a stored secret that is bound to the URL's host: {{ secrets.name }}.",
                        max_length=80,
                        verbose_name="key",
                    ),
                ),
                (
                    "connect_seconds",
                    models.FloatField(db_default=5.0, default=5.0, verbose_name="connect timeout, in seconds"),
                ),
                (
                    "read_seconds",
                    models.FloatField(db_default=60.0, default=60.0, verbose_name="read timeout, in seconds"),
                ),
                (
                    "total_seconds",
                    models.FloatField(db_default=120.0, default=120.0, verbose_name="total timeout, in seconds"),
                ),
                ("is_enabled", models.BooleanField(db_default=True, default=True, verbose_name="is enabled")),
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
                "verbose_name": "model endpoint",
                "verbose_name_plural": "model endpoints",
            },
        ),
        migrations.CreateModel(
            name="EndpointModel",
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
                    "requests_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="requests a minute"),
                ),
                (
                    "tokens_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="tokens a minute"),
                ),
                ("name", models.CharField(max_length=150, verbose_name="name")),
                (
                    "use",
                    models.CharField(
                        choices=[("chat", "Chat"), ("embedding", "Embedding")],
                        max_length=10,
                        verbose_name="use",
                    ),
                ),
                (
                    "dimensions",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Of the vectors of an embedding model: 1 to 4000.",
                        null=True,
                        verbose_name="dimensions",
                    ),
                ),
                (
                    "sends_dimensions",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="Whether requests name the dimensions; some servers refuse that.",
                        verbose_name="sends dimensions",
                    ),
                ),
                (
                    "is_default",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The chat model of nodes that name none.",
                        verbose_name="is default",
                    ),
                ),
                (
                    "input_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        verbose_name="price of a million input tokens",
                    ),
                ),
                (
                    "output_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=6,
                        max_digits=14,
                        null=True,
                        verbose_name="price of a million output tokens",
                    ),
                ),
                (
                    "tokens_per_month",
                    models.PositiveBigIntegerField(blank=True, null=True, verbose_name="tokens a month"),
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
                    "endpoint",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="models",
                        to="model_endpoints.modelendpoint",
                        verbose_name="model endpoint",
                    ),
                ),
            ],
            options={
                "verbose_name": "model",
                "verbose_name_plural": "models",
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
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
                ("day", models.DateField(verbose_name="day")),
                ("endpoint", models.CharField(max_length=40, verbose_name="model endpoint")),
                ("model", models.CharField(max_length=200, verbose_name="model")),
                ("requests", models.PositiveBigIntegerField(verbose_name="requests")),
                ("prompt_tokens", models.PositiveBigIntegerField(verbose_name="input tokens")),
                ("completion_tokens", models.PositiveBigIntegerField(verbose_name="output tokens")),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24, null=True, verbose_name="cost")),
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
                "verbose_name": "model usage",
                "verbose_name_plural": "model usage",
            },
        ),
        migrations.AddConstraint(
            model_name="modelendpoint",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="model_endpoint_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="modelendpoint",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="model_endpoint_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="endpoint_model_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.UniqueConstraint(
                fields=("tenant", "endpoint", "name"), name="endpoint_model_name_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.UniqueConstraint(
                condition=models.Q(("is_default", True)), fields=("tenant",), name="endpoint_model_one_default"
            ),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("dimensions__gte", 1), ("dimensions__lte", 4000), ("use", "embedding")),
                    models.Q(models.Q(("use", "embedding"), _negated=True), ("dimensions", None)),
                    _connector="OR",
                ),
                name="endpoint_model_dimensions",
                violation_error_message="An embedding model has 1 to 4000 dimensions; no other model has any.",
            ),
        ),
        migrations.AddConstraint(
            model_name="endpointmodel",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_default", False), ("use", "chat"), _connector="OR"),
                name="endpoint_model_default_chats",
                violation_error_message="Only a chat model can be the default.",
            ),
        ),
        migrations.AddConstraint(
            model_name="usageday",
            constraint=models.UniqueConstraint(
                fields=("tenant", "day", "endpoint", "model"), name="model_usage_day_unique"
            ),
        ),
        EnableRowSecurity("ModelEndpoint"),
        EnableRowSecurity("EndpointModel"),
        EnableRowSecurity("UsageDay"),
        AddCompositeForeignKey(
            "EndpointModel",
            columns=("tenant_id", "endpoint_id"),
            to="model_endpoints.ModelEndpoint",
            on_delete="CASCADE",
        ),
    ]
