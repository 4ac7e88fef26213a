"""Notes on jobs. The table is new, and its foreign key locks the jobs' table for a moment only."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0011_job_meta"), ("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="JobNote",
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
                ("author", models.CharField(max_length=200, verbose_name="author")),
                ("text", models.TextField(help_text="At most 4 KiB.", verbose_name="text")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="notes",
                        to="scheduling.job",
                        verbose_name="job",
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
                "verbose_name": "note",
                "verbose_name_plural": "notes",
                "db_table": "scheduling_job_note",
                "indexes": [models.Index(fields=["tenant", "job", "id"], name="job_note_of_job")],
            },
        ),
        EnableRowSecurity("JobNote"),
        AddCompositeForeignKey("JobNote", columns=("tenant_id", "job_id"), to="scheduling.Job", on_delete="CASCADE"),
    ]
