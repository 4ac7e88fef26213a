"""The table of the files that jobs attach."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("files", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Artifact",
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
                ("name", models.CharField(max_length=255, verbose_name="name")),
                ("content_type", models.CharField(max_length=100, verbose_name="content type")),
                ("size_bytes", models.PositiveBigIntegerField(verbose_name="size bytes")),
                ("sha256", models.CharField(max_length=64, verbose_name="sha256")),
                ("key", models.CharField(max_length=200, verbose_name="key")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("job_id", models.UUIDField(verbose_name="job id")),
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
                "verbose_name": "artifact",
                "verbose_name_plural": "artifacts",
                "indexes": [models.Index(fields=["tenant", "key"], name="artifact_key")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "job_id", "name"), name="artifact_name_unique")
                ],
            },
        ),
        EnableRowSecurity("Artifact"),
    ]
