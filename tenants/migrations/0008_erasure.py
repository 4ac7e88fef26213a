"""Pauses and suspensions that end by themselves, drains, and the erasure of a tenant."""

import django.core.serializers.json
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_tenant_settings")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="drain_reason",
            field=models.CharField(blank=True, default="", max_length=500),
        ),
        migrations.AddField(
            model_name="tenant",
            name="drained_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="draining_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="draining_by",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="tenant",
            name="draining_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="is_draining",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="paused_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="paused_by",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="tenant",
            name="paused_until",
            field=models.DateTimeField(
                blank=True, help_text="It is resumed by itself at this time; empty: by a person.", null=True
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="suspended_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="suspended_by",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="tenant",
            name="suspended_until",
            field=models.DateTimeField(
                blank=True, help_text="It is reinstated by itself at this time; empty: by a person.", null=True
            ),
        ),
        migrations.CreateModel(
            name="TenantErasure",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("subject_id", models.UUIDField()),
                ("slug_sha256", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(max_length=500)),
                ("requested_by", models.CharField(max_length=200)),
                ("requested_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("starts_at", models.DateTimeField(help_text="End of the period of grace.")),
                ("cancelled_by", models.CharField(blank=True, max_length=200)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("step", models.CharField(blank=True, max_length=60)),
                (
                    "note",
                    models.CharField(
                        blank=True, help_text="What the step waits for, or its last error.", max_length=500
                    ),
                ),
                ("before", models.JSONField(default=dict)),
                ("removed", models.JSONField(default=dict)),
                ("after", models.JSONField(default=dict)),
                (
                    "proof",
                    models.JSONField(blank=True, encoder=django.core.serializers.json.DjangoJSONEncoder, null=True),
                ),
                ("proof_sha256", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("pending", "running"))),
                        fields=("subject_id",),
                        name="one_open_erasure",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "running", "completed", "cancelled"])),
                        name="erasure_status_known",
                    ),
                ],
            },
        ),
        # A tenant may read of its own erasure; nobody deletes the record of one.
        *[
            migrations.AddIndex(
                "tenant",
                models.Index(fields=[name], name=f"tenant_{name}", condition=models.Q(**{f"{name}__isnull": False})),
            )
            for name in ("paused_until", "draining_until", "suspended_until", "draining_at")
        ],
        EnableRowSecurity(
            "TenantErasure", column="subject_id", app_may=["SELECT"], platform_may=["SELECT", "INSERT", "UPDATE"]
        ),
    ]
