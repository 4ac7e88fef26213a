"""Access reviews with the lines of their snapshots, and when the expiry of an approval request was mailed."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0011_approvals"),
    ]

    operations = [
        migrations.AddField(
            model_name="approvalrequest",
            name="expiry_mailed_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="expiry mailed at"),
        ),
        migrations.CreateModel(
            name="AccessReview",
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
                ("opened_by", models.CharField(max_length=200, verbose_name="opened by")),
                (
                    "opened_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="opened at"
                    ),
                ),
                ("closed_by", models.CharField(blank=True, max_length=200, verbose_name="closed by")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed at")),
                (
                    "sha256",
                    models.CharField(
                        blank=True,
                        help_text="Of all lines with their decisions, when it was closed.",
                        max_length=64,
                        verbose_name="SHA-256",
                    ),
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
                "verbose_name": "access review",
                "verbose_name_plural": "access reviews",
                "db_table": "tenants_access_review",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="AccessReviewLine",
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
                    "kind",
                    models.CharField(
                        choices=[
                            ("member", "Member"),
                            ("key", "API key"),
                            ("role", "Role of the tenant's own"),
                            ("account", "Account"),
                            ("platform_role", "Platform role"),
                            ("platform_key", "Platform key"),
                        ],
                        max_length=13,
                        verbose_name="kind",
                    ),
                ),
                ("object_id", models.CharField(max_length=40, verbose_name="object id")),
                ("subject", models.CharField(max_length=200, verbose_name="subject")),
                ("role", models.CharField(blank=True, max_length=50, verbose_name="role")),
                (
                    "grants",
                    models.JSONField(
                        help_text="Scopes of a key; rights and limits of a role of the tenant's own.",
                        verbose_name="grants",
                    ),
                ),
                ("person", models.CharField(blank=True, max_length=40, verbose_name="person")),
                ("given_at", models.DateTimeField(null=True, verbose_name="given at")),
                ("last_used_at", models.DateTimeField(null=True, verbose_name="last used at")),
                (
                    "decision",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("keep", "Keep"),
                            ("revoke", "Revoke"),
                            ("ended", "Ended otherwise"),
                        ],
                        default="open",
                        max_length=6,
                        verbose_name="decision",
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=500, verbose_name="note")),
                (
                    "is_own",
                    models.BooleanField(
                        default=False,
                        help_text="Decided by the person whose access it is, as there was no other.",
                        verbose_name="own",
                    ),
                ),
                ("decided_by", models.CharField(blank=True, max_length=200, verbose_name="decided by")),
                ("decided_at", models.DateTimeField(null=True, verbose_name="decided at")),
                (
                    "review",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lines",
                        to="tenants.accessreview",
                        verbose_name="access review",
                    ),
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
                "verbose_name": "line of an access review",
                "verbose_name_plural": "lines of access reviews",
                "db_table": "tenants_access_review_line",
                "ordering": ["id"],
            },
        ),
        migrations.AddConstraint(
            model_name="accessreview",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)),
                fields=("tenant",),
                name="access_review_open_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="accessreview",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at", None), ("closed_by", ""), ("sha256", "")),
                    models.Q(
                        models.Q(("closed_by", ""), _negated=True),
                        models.Q(("sha256", ""), _negated=True),
                        ("closed_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="access_review_closed_by",
            ),
        ),
        migrations.AddConstraint(
            model_name="accessreviewline",
            constraint=models.UniqueConstraint(fields=("review", "kind", "object_id"), name="access_review_line_once"),
        ),
        migrations.AddConstraint(
            model_name="accessreviewline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("decided_at", None), ("decided_by", ""), ("decision", "open")),
                    models.Q(
                        models.Q(("decision", "open"), _negated=True),
                        models.Q(("decided_by", ""), _negated=True),
                        ("decided_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="access_review_line_decided",
            ),
        ),
        EnableRowSecurity("AccessReview"),
        EnableRowSecurity("AccessReviewLine"),
    ]
