"""Stored evidence packs, and the schedules that request them."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity

TEMPLATES = [
    ("soc2", "SOC 2, common criteria CC6 and CC7"),
    ("iso27001", "ISO/IEC 27001:2022, Annex A, controls of the platform"),
    ("gdpr", "GDPR, record of processing (article 30)"),
    ("deletion", "Deletion report"),
]
EMPTY = "Make the pack also of a period without audit entries."


def common_fields():
    return [
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
        ("template", models.CharField(choices=TEMPLATES, max_length=20, verbose_name="template")),
        (
            "is_empty_allowed",
            models.BooleanField(default=False, help_text=EMPTY, verbose_name="also without data"),
        ),
        (
            "tenant",
            models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="Empty: the platform.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
    ]


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0042_controls"), ("tenants", "0007_legal_holds")]

    operations = [
        migrations.CreateModel(
            name="EvidencePack",
            fields=[
                *common_fields(),
                ("since", models.DateTimeField(verbose_name="from")),
                (
                    "until",
                    models.DateTimeField(
                        help_text="Entries that were sealed at or after it are left out.", verbose_name="until"
                    ),
                ),
                ("schedule", models.UUIDField(editable=False, null=True, verbose_name="schedule")),
                ("requested_by", models.CharField(editable=False, max_length=200, verbose_name="requested by")),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="requested at",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("queued", "queued"), ("stored", "stored"), ("failed", "failed")],
                        default="queued",
                        editable=False,
                        max_length=6,
                        verbose_name="state",
                    ),
                ),
                ("key", models.CharField(blank=True, editable=False, max_length=200, verbose_name="key")),
                ("size_bytes", models.BigIntegerField(default=0, editable=False, verbose_name="size")),
                ("sha256", models.CharField(blank=True, editable=False, max_length=64, verbose_name="sha256")),
                ("entries", models.BigIntegerField(default=0, editable=False, verbose_name="audit entries")),
                (
                    "faults",
                    models.IntegerField(
                        default=0, editable=False, help_text="Of the hash chains.", verbose_name="faults"
                    ),
                ),
                ("error", models.CharField(blank=True, editable=False, max_length=500, verbose_name="error")),
            ],
            options={
                "verbose_name": "evidence pack",
                "verbose_name_plural": "evidence packs",
                "db_table": "scheduling_evidence_pack",
                "indexes": [
                    models.Index(condition=models.Q(("state", "queued")), fields=["id"], name="evidence_pack_queued")
                ],
                "constraints": [models.UniqueConstraint(fields=("schedule", "since"), name="evidence_pack_once")],
            },
        ),
        migrations.CreateModel(
            name="EvidenceSchedule",
            fields=[
                *common_fields(),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "every",
                    models.CharField(
                        choices=[("month", "month"), ("quarter", "quarter")],
                        default="month",
                        max_length=7,
                        verbose_name="every",
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        help_text="Its contacts receive a link to each pack.",
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="scheduling.contactgroup",
                        verbose_name="contact group",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
                ("last_since", models.DateTimeField(editable=False, null=True, verbose_name="last period")),
            ],
            options={
                "verbose_name": "evidence schedule",
                "verbose_name_plural": "evidence schedules",
                "db_table": "scheduling_evidence_schedule",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "name"), name="evidence_schedule_name", nulls_distinct=False
                    )
                ],
            },
        ),
        EnableRowSecurity("EvidencePack"),
        EnableRowSecurity("EvidenceSchedule"),
        AddCompositeForeignKey(
            "EvidenceSchedule",
            columns=("tenant_id", "group_id"),
            to="scheduling.ContactGroup",
            on_delete="CASCADE",
        ),
    ]
