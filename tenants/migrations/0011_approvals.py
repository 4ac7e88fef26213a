"""Approvals: the rules of the policy, and the requests of acts that need a second person."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.approvals.acts
import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0010_custom_roles"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApprovalRule",
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
                    "act",
                    models.CharField(
                        choices=tenants.approvals.acts.act_choices, max_length=40, unique=True, verbose_name="act"
                    ),
                ),
                (
                    "above",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Bulk operations: for more jobs than this; empty: for all.",
                        null=True,
                        verbose_name="above",
                    ),
                ),
                (
                    "hours",
                    models.PositiveSmallIntegerField(
                        default=24,
                        help_text="A request expires after so many hours.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(720),
                        ],
                        verbose_name="hours",
                    ),
                ),
            ],
            options={
                "verbose_name": "approval rule",
                "verbose_name_plural": "approval rules",
                "db_table": "tenants_approval_rule",
                "ordering": ["act"],
            },
        ),
        migrations.CreateModel(
            name="ApprovalRequest",
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
                    "act",
                    models.CharField(choices=tenants.approvals.acts.act_choices, max_length=40, verbose_name="act"),
                ),
                ("arguments", models.JSONField(verbose_name="arguments")),
                ("digest", models.CharField(max_length=64, verbose_name="digest")),
                ("preview", models.CharField(max_length=1000, verbose_name="preview")),
                ("is_repeated", models.BooleanField(verbose_name="the requester repeats the call")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("approved", "Approved, not used yet"),
                            ("done", "Approved and done"),
                            ("rejected", "Rejected"),
                        ],
                        default="pending",
                        max_length=10,
                        verbose_name="status",
                    ),
                ),
                ("requester", models.CharField(max_length=200, verbose_name="requester")),
                ("requested_by", models.CharField(max_length=200, verbose_name="requested by")),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="requested at"
                    ),
                ),
                ("expires_at", models.DateTimeField(verbose_name="expires at")),
                ("decider", models.CharField(blank=True, max_length=200, verbose_name="decider")),
                ("decided_by", models.CharField(blank=True, max_length=200, verbose_name="decided by")),
                ("decided_at", models.DateTimeField(blank=True, null=True, verbose_name="decided at")),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
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
                "verbose_name": "approval request",
                "verbose_name_plural": "approval requests",
                "db_table": "tenants_approval_request",
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["digest"], name="approval_of_act")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("decider", models.F("requester")), _negated=True),
                        name="approval_by_another",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["pending", "approved", "done", "rejected"])),
                        name="approval_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("decider", ""), ("status", "pending")),
                            models.Q(
                                models.Q(("status", "pending"), _negated=True),
                                models.Q(("decider", ""), _negated=True),
                                ("decided_at__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="approval_decided_by_person",
                    ),
                ],
            },
        ),
        EnableRowSecurity("ApprovalRule", column=None, app_may=["SELECT"]),
        EnableRowSecurity("ApprovalRequest", app_may=["SELECT"]),
    ]
