"""Controls, and the jobs that they hold."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0041_break_glass"),
        ("tenants", "0007_legal_holds"),
    ]

    operations = [
        migrations.CreateModel(
            name="ControlHold",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                ("failures", models.JSONField(default=list)),
                (
                    "overridden",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "scheduling_control_hold",
            },
        ),
        migrations.CreateModel(
            name="ControlRule",
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
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "checkpoint",
                    models.CharField(
                        choices=[
                            ("submission", "submission: holds the job"),
                            ("start", "start: holds the job"),
                            ("effect", "call of a host: fails the attempt"),
                            ("end", "end: is recorded"),
                        ],
                        max_length=10,
                        verbose_name="checkpoint",
                    ),
                ),
                (
                    "rule",
                    models.CharField(
                        choices=[
                            ("required_tags", "required tags and labels"),
                            ("allowed_kinds", "allowed kinds and regions"),
                            ("payload_detector", "card numbers, keys, e-mail addresses"),
                            ("egress_hosts", "hosts that may be called"),
                            ("maintenance_window", "maintenance window"),
                            ("key_residency", "regions that read the data key"),
                        ],
                        max_length=20,
                        verbose_name="rule",
                    ),
                ),
                (
                    "parameters",
                    models.JSONField(
                        help_text='Of the rule, such as {"tags": ["reviewed"]}; the documentation lists them.',
                        verbose_name="parameters",
                    ),
                ),
                (
                    "kind",
                    models.CharField(blank=True, help_text="Empty: every kind.", max_length=64, verbose_name="kind"),
                ),
                (
                    "may_hold_all",
                    models.BooleanField(
                        default=False,
                        help_text="Confirms a control that would have held every job of the last hour that it covers.",
                        verbose_name="may hold every job",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
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
                "verbose_name": "control",
                "verbose_name_plural": "controls",
                "db_table": "scheduling_control_rule",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="control_rule_name", nulls_distinct=False)
                ],
            },
        ),
        EnableRowSecurity("ControlRule"),
        EnableRowSecurity("ControlHold"),
    ]
