"""Investigations and their outcomes."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0026_log_rules"),
        ("tenants", "0003_tenant_provision_digest"),
    ]

    operations = [
        migrations.CreateModel(
            name="Investigation",
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
                ("alert", models.UUIDField(blank=True, help_text="Its id.", null=True, verbose_name="alert")),
                (
                    "fingerprint",
                    models.CharField(
                        blank=True, help_text="Fingerprint of the failures.", max_length=16, verbose_name="error"
                    ),
                ),
                ("kind", models.CharField(blank=True, max_length=64, verbose_name="kind")),
                ("queue", models.CharField(blank=True, max_length=60, verbose_name="queue")),
                (
                    "only_tenant",
                    models.UUIDField(
                        blank=True, help_text="Its id; empty: every tenant.", null=True, verbose_name="only tenant"
                    ),
                ),
                (
                    "began_at",
                    models.DateTimeField(
                        blank=True, help_text="Of an alert: empty.", null=True, verbose_name="began at"
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                ("subject", models.CharField(editable=False, max_length=300, verbose_name="subject")),
                ("label", models.CharField(editable=False, max_length=300, verbose_name="about")),
                ("suspects", models.JSONField(default=list, editable=False, verbose_name="suspects")),
                ("evidence", models.JSONField(default=dict, editable=False, verbose_name="evidence")),
                (
                    "named_tenants",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        editable=False,
                        size=None,
                        verbose_name="tenants named",
                    ),
                ),
                ("asked_by", models.CharField(editable=False, max_length=200, verbose_name="requested by")),
                (
                    "asked_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        verbose_name="requested at",
                    ),
                ),
                (
                    "cause",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Number of the suspect that it was; empty: another cause.",
                        null=True,
                        verbose_name="cause",
                    ),
                ),
                ("has_helped", models.BooleanField(blank=True, null=True, verbose_name="the remedy helped")),
                ("note", models.CharField(blank=True, help_text="What was done.", max_length=500, verbose_name="note")),
                (
                    "answered_by",
                    models.CharField(blank=True, editable=False, max_length=200, verbose_name="outcome by"),
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
            ],
            options={
                "verbose_name": "investigation",
                "verbose_name_plural": "investigations",
                "db_table": "scheduling_investigation",
                "indexes": [
                    models.Index(fields=["tenant", "-id"], name="investigation_of_tenant"),
                    models.Index(fields=["subject", "-id"], name="investigation_of_subject"),
                ],
            },
        ),
        EnableRowSecurity("Investigation"),
    ]
