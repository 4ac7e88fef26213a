"""Archived objects: which ended jobs were written where before retention deleted them."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity

_ids = django.contrib.postgres.fields.ArrayField


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0039_region_labels"), ("tenants", "0007_legal_holds")]

    operations = [
        migrations.CreateModel(
            name="ArchiveObject",
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
                ("key", models.CharField(max_length=200, verbose_name="key")),
                (
                    "begun_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="begun at"),
                ),
                ("stored_at", models.DateTimeField(null=True, verbose_name="stored at")),
                ("first_id", models.UUIDField(null=True, verbose_name="first job")),
                ("last_id", models.UUIDField(null=True, verbose_name="last job")),
                ("job_ids", _ids(base_field=models.UUIDField(), default=list, size=None, verbose_name="jobs")),
                ("job_count", models.IntegerField(default=0, verbose_name="number of jobs")),
                ("size_bytes", models.BigIntegerField(default=0, verbose_name="size")),
                ("sha256", models.CharField(blank=True, max_length=64, verbose_name="sha256")),
                (
                    "restored_ids",
                    _ids(base_field=models.UUIDField(), default=list, size=None, verbose_name="restored jobs"),
                ),
                (
                    "restored_until",
                    models.DateTimeField(
                        help_text="Until then retention keeps the restored jobs.",
                        null=True,
                        verbose_name="restored until",
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
                "verbose_name": "archived object",
                "verbose_name_plural": "archive",
                "db_table": "scheduling_archive_object",
                "indexes": [
                    models.Index(fields=["tenant", "last_id"], name="archive_object_of_jobs"),
                    models.Index(
                        condition=models.Q(("stored_at", None)), fields=["begun_at"], name="archive_object_unfinished"
                    ),
                    models.Index(
                        condition=models.Q(("restored_until__isnull", False)),
                        fields=["tenant"],
                        name="archive_object_restored",
                    ),
                ],
            },
        ),
        EnableRowSecurity("ArchiveObject"),
    ]
