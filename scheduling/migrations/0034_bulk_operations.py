"""Bulk operations and what jobs had before them. New tables alone, and a reason that the database does not check."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0033_saved_views"),
        ("tenants", "0014_audit_verifications"),
    ]

    operations = [
        migrations.AlterField(
            model_name="deadletter",
            name="reason",
            field=models.CharField(
                choices=[
                    ("permanent_error", "permanent error"),
                    ("attempts_exhausted", "attempts exhausted"),
                    ("deadline_passed", "deadline passed"),
                    ("retry_past_deadline", "its retry would begin after its deadline"),
                    ("crashed_workers", "crashed its workers"),
                    ("discarded", "discarded by a person"),
                ],
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            name="BulkOperation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "operation",
                    models.CharField(
                        choices=[
                            ("cancel", "cancel"),
                            ("retry", "retry"),
                            ("requeue", "requeue dead letters"),
                            ("discard", "discard"),
                            ("reprioritise", "change the priority"),
                            ("move_queue", "move to another queue"),
                        ],
                        max_length=12,
                    ),
                ),
                (
                    "parameters",
                    models.JSONField(default=dict, help_text="The priority or the queue that the jobs are to have."),
                ),
                ("filter", models.TextField(help_text="Which jobs, as it was frozen.")),
                ("asked_filter", models.TextField(help_text="Which jobs, as they were asked for.")),
                ("frozen_at", models.DateTimeField(help_text="Jobs that were submitted later are not touched.")),
                (
                    "newest_id",
                    models.UUIDField(
                        help_text="The greatest id that there was; empty where there was no job.", null=True
                    ),
                ),
                (
                    "expected",
                    models.PositiveIntegerField(
                        help_text="Jobs that matched when it was started, counted up to a limit."
                    ),
                ),
                ("is_expected_capped", models.BooleanField(default=False, help_text="Whether more may have matched.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("running", "running"),
                            ("completed", "completed"),
                            ("aborted", "aborted"),
                            ("failed", "failed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("seen", models.PositiveBigIntegerField(default=0, help_text="Matching jobs that it has come by.")),
                ("changed", models.PositiveBigIntegerField(default=0, help_text="Jobs to which it was done.")),
                (
                    "ineligible",
                    models.JSONField(default=dict, help_text="Jobs to which it could not be done, by reason."),
                ),
                ("changed_by_tenant", models.JSONField(default=dict, help_text="For the audit log.")),
                ("cursor", models.UUIDField(help_text="The last id that it has looked at.", null=True)),
                (
                    "resume_at",
                    models.DateTimeField(help_text="When a limit that it has reached lets it go on.", null=True),
                ),
                ("failures", models.PositiveSmallIntegerField(default=0, help_text="Turns in a row that failed.")),
                ("error", models.CharField(blank=True, default="", max_length=500)),
                ("reason", models.CharField(max_length=500)),
                ("actor_kind", models.CharField(max_length=20)),
                ("actor_id", models.CharField(blank=True, max_length=64)),
                ("actor_label", models.CharField(blank=True, max_length=200)),
                ("request_id", models.CharField(blank=True, max_length=64)),
                ("is_actor_of_tenant", models.BooleanField(default=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "undo_of",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="undone_by",
                        to="scheduling.bulkoperation",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_bulk_operation",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="BulkFormer",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("job_ids", django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), size=None)),
                ("formers", django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), size=None)),
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
                    "operation",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="formers",
                        to="scheduling.bulkoperation",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_bulk_former",
            },
        ),
        migrations.AddIndex(
            model_name="bulkoperation",
            index=models.Index(fields=["tenant", "-id"], name="bulk_operation_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="bulkoperation",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", True)), fields=["id"], name="bulk_operation_open"
            ),
        ),
        migrations.AddIndex(
            model_name="bulkformer",
            index=models.Index(fields=["operation", "id"], name="bulk_former_by_operation"),
        ),
        EnableRowSecurity("BulkOperation"),
        EnableRowSecurity("BulkFormer"),
    ]
