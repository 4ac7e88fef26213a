"""The table of evaluations."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0001_initial"), ("retrieval", "0007_search_settings")]

    operations = [
        migrations.CreateModel(
            name="Evaluation",
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
                ("note", models.CharField(blank=True, max_length=200, verbose_name="note")),
                ("settings", models.JSONField(verbose_name="settings")),
                ("questions", models.JSONField(verbose_name="questions")),
                ("questions_total", models.PositiveIntegerField(verbose_name="questions")),
                ("questions_done", models.PositiveIntegerField(default=0, verbose_name="questions done")),
                ("ranks", models.JSONField(default=list, verbose_name="ranks")),
                ("results", models.JSONField(default=list, verbose_name="results")),
                ("job_id", models.UUIDField(verbose_name="job id")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("completed_at", models.DateTimeField(blank=True, null=True, verbose_name="completed at")),
                (
                    "dataset",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="retrieval.dataset",
                        verbose_name="dataset",
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
                "verbose_name": "evaluation",
                "verbose_name_plural": "evaluations",
                "indexes": [models.Index(fields=["tenant", "dataset", "-id"], name="evaluation_dataset")],
            },
        ),
        EnableRowSecurity("Evaluation"),
        AddCompositeForeignKey(
            "Evaluation", columns=("tenant_id", "dataset_id"), to="retrieval.Dataset", on_delete="CASCADE"
        ),
    ]
