"""The tables of tenants, access, plans, limits, secrets and the audit log, and the first plans."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import tenants.database.conf
import tenants.database.ids
import tenants.plans.retry_rules
from tenants.database.migration_sql import load_migration_sql
from tenants.database.rls import EnableRowSecurity

from . import _seeds

READ = ["SELECT"]
APPEND = ["SELECT", "INSERT"]
UPSERT = ["SELECT", "INSERT", "UPDATE"]


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(load_migration_sql(__file__, "functions"), load_migration_sql(__file__, "drop_functions")),
        migrations.CreateModel(
            name="AuditCounter",
            fields=[
                ("chain", models.UUIDField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField(default=0)),
                (
                    "hash",
                    models.CharField(
                        default="0000000000000000000000000000000000000000000000000000000000000000", max_length=64
                    ),
                ),
                ("signed_sequence", models.BigIntegerField(default=0)),
                ("final_head", models.JSONField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="AuditPending",
            fields=[
                ("entry_id", models.UUIDField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField(null=True)),
                ("queued_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                (
                    "version",
                    models.PositiveIntegerField(
                        db_default=1,
                        default=1,
                        editable=False,
                        help_text="Number of the version in effect.",
                        verbose_name="version",
                    ),
                ),
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
                ("slug", models.SlugField(unique=True, verbose_name="slug")),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=1,
                        help_text="Weight against other tenants, 1 to 1,000.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="weight",
                    ),
                ),
                (
                    "max_concurrency",
                    models.PositiveIntegerField(
                        default=tenants.database.conf.default_max_concurrency,
                        help_text="Jobs of one tenant that may run at once.",
                        validators=[django.core.validators.MaxValueValidator(100000)],
                        verbose_name="max concurrency",
                    ),
                ),
                (
                    "max_waiting_jobs",
                    models.PositiveIntegerField(
                        help_text="Jobs of one tenant that may wait.", verbose_name="max waiting jobs"
                    ),
                ),
                (
                    "submits_per_minute",
                    models.PositiveIntegerField(
                        help_text="Jobs one tenant may submit in a minute.", verbose_name="submits per minute"
                    ),
                ),
                (
                    "worker_seconds_per_month",
                    models.PositiveIntegerField(
                        help_text="Seconds of worker time one tenant may use in a month.",
                        verbose_name="worker seconds per month",
                    ),
                ),
                (
                    "max_priority",
                    models.PositiveSmallIntegerField(
                        default=10,
                        help_text="The highest priority that a tenant may give to its jobs.",
                        verbose_name="max priority",
                    ),
                ),
                (
                    "retry_rules",
                    models.JSONField(
                        blank=True,
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        help_text="Retry rules by kind, in place of the kind's own.",
                        validators=[tenants.plans.retry_rules.check_retry_rules],
                        verbose_name="retry rules",
                    ),
                ),
            ],
            options={
                "verbose_name": "plan",
                "verbose_name_plural": "plans",
                "ordering": ["tier__rank", "slug"],
            },
        ),
        migrations.CreateModel(
            name="Tier",
            fields=[
                ("slug", models.SlugField(primary_key=True, serialize=False, verbose_name="slug")),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "rank",
                    models.PositiveSmallIntegerField(
                        help_text="Greater is better; orders the tiers on screens and in choices.",
                        unique=True,
                        verbose_name="rank",
                    ),
                ),
            ],
            options={
                "verbose_name": "tier",
                "verbose_name_plural": "tiers",
                "ordering": ["rank"],
            },
        ),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("chain", models.UUIDField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("head", "Head"), ("checkpoint", "Pruned"), ("final", "Erased")],
                        default="head",
                        max_length=10,
                    ),
                ),
                ("sequence", models.BigIntegerField()),
                ("hash", models.CharField(max_length=64)),
                ("signed_at", models.DateTimeField()),
                ("key_id", models.CharField(max_length=16)),
                ("signature", models.CharField(max_length=88)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["chain", "sequence"], name="audit_head_by_chain"),
                    models.Index(
                        condition=models.Q(("kind", "head"), _negated=True),
                        fields=["chain", "-sequence"],
                        name="audit_head_by_checkpoint",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("chain", uuid.UUID("00000000-0000-0000-0000-000000000000")),
                            ("kind", "final"),
                            _negated=True,
                        ),
                        name="audit_head_platform_never_erased",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("sequence__gte", 0)), name="audit_head_sequence_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditRemoval",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("chain", models.UUIDField()),
                ("kind", models.CharField(choices=[("retention", "Retention"), ("erasure", "Erasure")], max_length=10)),
                ("before", models.DateTimeField(help_text="Entries sealed before this time are removed.")),
                ("requested_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("done_at", models.DateTimeField(null=True)),
                ("removed", models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("chain", "kind"), name="audit_removal_one_of_kind"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "before__range",
                                (datetime(2000, 1, 1, 0, 0, tzinfo=UTC), datetime(9999, 1, 1, 0, 0, tzinfo=UTC)),
                            )
                        ),
                        name="audit_removal_before_is_a_date",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                (
                    "paused_by",
                    models.CharField(blank=True, default="", editable=False, max_length=200, verbose_name="paused by"),
                ),
                ("paused_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="paused at")),
                (
                    "paused_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Resumed automatically at this time; empty: manually.",
                        null=True,
                        verbose_name="paused until",
                    ),
                ),
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
                ("slug", models.SlugField(unique=True, verbose_name="slug")),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                (
                    "weight_factor",
                    models.DecimalField(
                        decimal_places=3,
                        default=Decimal(1),
                        help_text="Multiplies the plan's weight for this tenant.",
                        max_digits=6,
                        validators=[django.core.validators.MinValueValidator(Decimal("0.001"))],
                        verbose_name="weight factor",
                    ),
                ),
                (
                    "max_concurrency",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Jobs in flight at once; empty: the plan's number.",
                        null=True,
                        verbose_name="max concurrency",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("suspended", "Suspended")],
                        default="active",
                        max_length=20,
                        verbose_name="status",
                    ),
                ),
                ("status_reason", models.CharField(blank=True, max_length=500, verbose_name="status reason")),
                (
                    "suspended_by",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=200, verbose_name="suspended by"
                    ),
                ),
                (
                    "suspended_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="suspended at"),
                ),
                (
                    "suspended_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="Reinstated automatically at this time; empty: manually.",
                        null=True,
                        verbose_name="suspended until",
                    ),
                ),
                ("is_draining", models.BooleanField(default=False, verbose_name="is draining")),
                ("drain_reason", models.CharField(blank=True, default="", max_length=500, verbose_name="drain reason")),
                (
                    "draining_by",
                    models.CharField(
                        blank=True, default="", editable=False, max_length=200, verbose_name="draining by"
                    ),
                ),
                (
                    "draining_at",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="draining at"),
                ),
                ("draining_until", models.DateTimeField(blank=True, null=True, verbose_name="draining until")),
                (
                    "is_draining_by_platform",
                    models.BooleanField(
                        db_default=False, default=False, editable=False, verbose_name="is draining by platform"
                    ),
                ),
                ("drained_at", models.DateTimeField(blank=True, editable=False, null=True, verbose_name="drained at")),
                ("is_paused", models.BooleanField(default=False, verbose_name="is paused")),
                ("pause_reason", models.CharField(blank=True, max_length=500, verbose_name="pause reason")),
                (
                    "is_paused_by_platform",
                    models.BooleanField(
                        db_default=False, default=False, editable=False, verbose_name="is paused by platform"
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.plan",
                        verbose_name="plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "tenant",
                "verbose_name_plural": "tenants",
                "ordering": ["slug"],
            },
        ),
        migrations.CreateModel(
            name="Membership",
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
                    "role",
                    models.CharField(
                        choices=[("owner", "Owner"), ("developer", "Developer"), ("viewer", "Viewer")],
                        default="viewer",
                        help_text="Viewers read, developers also run jobs, owners also manage members and keys.",
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "last_chosen_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When its user last chose this tenant.",
                        null=True,
                        verbose_name="last chosen at",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
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
                "verbose_name": "membership",
                "verbose_name_plural": "memberships",
                "ordering": ["created_at"],
            },
        ),
        migrations.CreateModel(
            name="LimitWarning",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id",
                        "key",
                        "period",
                        "percent",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("key", models.CharField(max_length=100)),
                ("period", models.DateField()),
                ("percent", models.PositiveSmallIntegerField()),
                ("used", models.BigIntegerField(help_text="In the counter's unit.")),
                ("allowed", models.BigIntegerField(help_text="In the limit's own unit.")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "is_released",
                    models.BooleanField(
                        db_default=False, help_text="The period is over and the tenant's jobs run again."
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Invitation",
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
                    "invitee",
                    models.CharField(
                        help_text="A user name or e-mail address, as typed by the inviter.",
                        max_length=254,
                        verbose_name="invitee",
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[("owner", "Owner"), ("developer", "Developer"), ("viewer", "Viewer")],
                        default="viewer",
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True, verbose_name="token hash")),
                ("is_mailed", models.BooleanField(default=False, editable=False, verbose_name="is mailed")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("expires_at", models.DateTimeField(editable=False, verbose_name="expires at")),
                ("accepted_at", models.DateTimeField(editable=False, null=True, verbose_name="accepted at")),
                ("revoked_at", models.DateTimeField(editable=False, null=True, verbose_name="revoked at")),
                (
                    "invited_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="invited by",
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
                "verbose_name": "invitation",
                "verbose_name_plural": "invitations",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="AuditLogEntry",
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
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="at"
                    ),
                ),
                ("actor_kind", models.CharField(max_length=20, verbose_name="actor kind")),
                ("actor_id", models.CharField(blank=True, max_length=64, verbose_name="actor id")),
                ("actor_label", models.CharField(blank=True, max_length=200, verbose_name="actor label")),
                ("action", models.CharField(max_length=100, verbose_name="action")),
                ("target_type", models.CharField(max_length=100, verbose_name="target type")),
                ("target_id", models.CharField(max_length=64, verbose_name="target id")),
                (
                    "before",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True, verbose_name="before"
                    ),
                ),
                (
                    "after",
                    models.JSONField(
                        encoder=django.core.serializers.json.DjangoJSONEncoder, null=True, verbose_name="after"
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=500, verbose_name="reason")),
                ("request_id", models.CharField(blank=True, max_length=64, verbose_name="request id")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit log entry",
                "verbose_name_plural": "audit log entries",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
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
                    "name",
                    models.CharField(
                        help_text="The purpose of the key, such as the program that uses it.",
                        max_length=100,
                        verbose_name="name",
                    ),
                ),
                ("prefix", models.CharField(max_length=16, unique=True, verbose_name="prefix")),
                ("secret_hash", models.CharField(max_length=64, verbose_name="secret hash")),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50),
                        default=list,
                        help_text="The permissions of the key.",
                        size=None,
                        verbose_name="scopes",
                    ),
                ),
                (
                    "allowed_addresses",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50),
                        blank=True,
                        default=list,
                        help_text="Networks such as 203.0.113.0/24 that the key is accepted from; empty: from everywhere.",
                        size=None,
                        verbose_name="allowed addresses",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used at")),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The key is refused from this time on.",
                        null=True,
                        verbose_name="expires at",
                    ),
                ),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked at")),
                (
                    "rotated_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When another key replaced it.",
                        null=True,
                        verbose_name="rotated at",
                    ),
                ),
                (
                    "warned_at",
                    models.DateTimeField(
                        editable=False,
                        help_text="When its owners were warned that it expires.",
                        null=True,
                        verbose_name="warned at",
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
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
                "verbose_name": "API key",
                "verbose_name_plural": "API keys",
                "ordering": ["-created_at"],
            },
        ),
        migrations.CreateModel(
            name="TenantDataKey",
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
                    "wrapped",
                    models.BinaryField(
                        help_text="Nonce, key and tag: AES-256-GCM under the master key.", max_length=60
                    ),
                ),
                ("master_key_id", models.CharField(max_length=16)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                ("retired_at", models.DateTimeField(editable=False, null=True)),
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
        ),
        migrations.CreateModel(
            name="TenantErasure",
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
                ("subject_id", models.UUIDField(verbose_name="subject id")),
                ("slug_sha256", models.CharField(max_length=64, verbose_name="slug sha256")),
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
                        verbose_name="status",
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("requested_by", models.CharField(max_length=200, verbose_name="requested by")),
                (
                    "requested_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="requested at"
                    ),
                ),
                ("starts_at", models.DateTimeField(help_text="End of the grace period.", verbose_name="starts at")),
                ("cancelled_by", models.CharField(blank=True, max_length=200, verbose_name="cancelled by")),
                ("started_at", models.DateTimeField(blank=True, null=True, verbose_name="started at")),
                ("finished_at", models.DateTimeField(blank=True, null=True, verbose_name="finished at")),
                ("step", models.CharField(blank=True, max_length=60, verbose_name="step")),
                (
                    "note",
                    models.CharField(
                        blank=True,
                        help_text="Why the step waits, or its last error.",
                        max_length=500,
                        verbose_name="note",
                    ),
                ),
                ("before", models.JSONField(default=dict, verbose_name="before")),
                ("removed", models.JSONField(default=dict, verbose_name="removed")),
                ("after", models.JSONField(default=dict, verbose_name="after")),
                (
                    "proof",
                    models.JSONField(
                        blank=True,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        null=True,
                        verbose_name="proof",
                    ),
                ),
                ("proof_sha256", models.CharField(blank=True, max_length=64, verbose_name="proof sha256")),
            ],
            options={
                "verbose_name": "tenant erasure",
                "verbose_name_plural": "tenant erasures",
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
        migrations.CreateModel(
            name="TenantLimit",
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
                ("key", models.CharField(max_length=100, verbose_name="key")),
                ("value", models.PositiveBigIntegerField(help_text="In the limit's own unit.", verbose_name="value")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="The plan's limit applies again from this time on.",
                        null=True,
                        verbose_name="expires at",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
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
                "verbose_name": "tenant limit",
                "verbose_name_plural": "tenant limits",
                "ordering": ["key"],
            },
        ),
        migrations.CreateModel(
            name="TenantSecret",
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
                    "name",
                    models.CharField(help_text="It is used as {{ secrets.name }}.", max_length=63, verbose_name="name"),
                ),
                (
                    "hosts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255),
                        help_text="The only hosts that it is sent to.",
                        size=None,
                        verbose_name="hosts",
                    ),
                ),
                (
                    "version",
                    models.PositiveIntegerField(
                        default=1, editable=False, help_text="Incremented with each new value.", verbose_name="version"
                    ),
                ),
                ("sealed", models.JSONField(editable=False, verbose_name="sealed")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                ("created_by", models.CharField(editable=False, max_length=200, verbose_name="created by")),
                (
                    "changed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="When its value was last replaced.",
                        verbose_name="changed at",
                    ),
                ),
                ("changed_by", models.CharField(editable=False, max_length=200, verbose_name="changed by")),
                (
                    "last_used_at",
                    models.DateTimeField(
                        editable=False, help_text="To the minute.", null=True, verbose_name="last used at"
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
                "verbose_name": "secret",
                "verbose_name_plural": "secrets",
            },
        ),
        migrations.CreateModel(
            name="TenantSettings",
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
                ("stored", models.JSONField(default=dict, verbose_name="stored")),
                (
                    "version",
                    models.PositiveIntegerField(
                        default=0, help_text="Incremented with each change.", verbose_name="version"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="updated at"
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
                "verbose_name": "settings",
                "verbose_name_plural": "settings",
            },
        ),
        migrations.CreateModel(
            name="TenantUsage",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "tenant_id", "key", "period", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.CharField(max_length=100)),
                ("period", models.DateField()),
                ("amount", models.BigIntegerField(default=0)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="plan",
            name="tier",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="plans",
                to="tenants.tier",
                verbose_name="tier",
            ),
        ),
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                (
                    "entry",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="seal",
                        serialize=False,
                        to="tenants.auditlogentry",
                    ),
                ),
                ("chain", models.UUIDField()),
                ("sequence", models.BigIntegerField()),
                ("entry_hash", models.CharField(max_length=64)),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64)),
                ("sealed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("chain", "sequence"), name="audit_seal_sequence_unique")
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanLimit",
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
                ("key", models.CharField(max_length=100, verbose_name="key")),
                ("value", models.PositiveBigIntegerField(verbose_name="value")),
                (
                    "plan",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="limits",
                        to="tenants.plan",
                        verbose_name="plan",
                    ),
                ),
            ],
            options={
                "verbose_name": "plan limit",
                "verbose_name_plural": "plan limits",
                "ordering": ["key"],
                "constraints": [models.UniqueConstraint(fields=("plan", "key"), name="plan_limit_key_unique")],
            },
        ),
        migrations.CreateModel(
            name="PlanVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("author", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("content", models.JSONField()),
                ("before", models.JSONField()),
                ("after", models.JSONField()),
                ("effective_from", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("waiting", "scheduled"),
                            ("applied", "took effect"),
                            ("withdrawn", "withdrawn"),
                            ("refused", "refused when due"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("outcome_at", models.DateTimeField(null=True)),
                ("outcome_note", models.CharField(blank=True, max_length=500)),
                (
                    "plan",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="tenants.plan",
                    ),
                ),
            ],
            options={
                "ordering": ["-number"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("outcome", "waiting")),
                        fields=["effective_from"],
                        name="plan_version_waiting",
                    )
                ],
                "constraints": [models.UniqueConstraint(fields=("plan", "number"), name="plan_version_number")],
            },
        ),
        migrations.CreateModel(
            name="PlatformMembership",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("admin", "Admin"), ("operator", "Operator"), ("auditor", "Auditor")],
                        help_text="Admins do everything; operators run the platform; auditors read everything and change nothing.",
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="platform_membership",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "platform role",
                "verbose_name_plural": "platform roles",
                "ordering": ["created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["admin", "operator", "auditor"])), name="platform_role_known"
                    )
                ],
            },
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(
                condition=models.Q(("paused_until__isnull", False)), fields=["paused_until"], name="tenant_paused_until"
            ),
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(
                condition=models.Q(("draining_until__isnull", False)),
                fields=["draining_until"],
                name="tenant_draining_until",
            ),
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(
                condition=models.Q(("suspended_until__isnull", False)),
                fields=["suspended_until"],
                name="tenant_suspended_until",
            ),
        ),
        migrations.AddIndex(
            model_name="tenant",
            index=models.Index(
                condition=models.Q(("draining_at__isnull", False)), fields=["draining_at"], name="tenant_draining_at"
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight_factor__gt", 0)), name="tenant_weight_factor_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["active", "suspended"])), name="tenant_status_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("tenant", "user"), name="membership_user_unique"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["owner", "developer", "viewer"])), name="membership_role_known"
            ),
        ),
        migrations.AddIndex(
            model_name="limitwarning",
            index=models.Index(
                condition=models.Q(("is_released", False), ("percent", 100)),
                fields=["period"],
                name="limit_warning_open",
            ),
        ),
        migrations.AddIndex(
            model_name="invitation",
            index=models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["owner", "developer", "viewer"])), name="invitation_role_known"
            ),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["tenant", "-id"], name="audit_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["target_type", "target_id", "-id"], name="audit_by_target"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["action", "-id"], name="audit_by_action"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["tenant", "action", "-id"], name="audit_by_tenant_action"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["target_id", "-id"], name="audit_by_target_id"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["actor_label", "-id"], name="audit_by_actor_label"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["actor_id", "-id"], name="audit_by_actor_id"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["request_id", "-id"], name="audit_by_request"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["tenant", "actor_label", "-id"], name="audit_by_tenant_label"),
        ),
        migrations.AddIndex(
            model_name="auditlogentry",
            index=models.Index(fields=["tenant", "actor_id", "-id"], name="audit_by_tenant_actor"),
        ),
        migrations.AddIndex(
            model_name="apikey",
            index=models.Index(fields=["tenant", "-created_at"], name="api_key_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="tenantdatakey",
            index=models.Index(fields=["tenant", "id"], name="tenant_data_key_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="tenantdatakey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("retired_at__isnull", True)), fields=("tenant",), name="tenant_data_key_one_in_use"
            ),
        ),
        migrations.AddIndex(
            model_name="tenantlimit",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="tenant_limit_expires"
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantlimit",
            constraint=models.UniqueConstraint(fields=("tenant", "key"), name="tenant_limit_key_unique"),
        ),
        migrations.AddConstraint(
            model_name="tenantsecret",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="tenant_secret_name_unique"),
        ),
        migrations.AddConstraint(
            model_name="tenantsettings",
            constraint=models.UniqueConstraint(fields=("tenant",), name="tenant_settings_tenant"),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(condition=models.Q(("weight__gte", 1)), name="plan_weight_positive"),
        ),
        # Everybody reads plans and platform roles; only the platform writes them.
        EnableRowSecurity("Tier", column=None, app_may=READ),
        EnableRowSecurity("Plan", column=None, app_may=READ),
        EnableRowSecurity("PlanLimit", column=None, app_may=READ),
        EnableRowSecurity("PlanVersion", column=None, app_may=READ, platform_may=UPSERT),
        EnableRowSecurity("PlatformMembership", column=None, app_may=READ),
        # A tenant reads itself; services of the platform write it.
        EnableRowSecurity("Tenant", column="id", app_may=READ),
        EnableRowSecurity("TenantErasure", column="subject_id", app_may=READ, platform_may=UPSERT),
        EnableRowSecurity("TenantLimit", app_may=READ),
        # A tenant counts what it stores in its own transactions.
        EnableRowSecurity("TenantUsage", app_may=UPSERT),
        EnableRowSecurity("LimitWarning", app_may=APPEND),
        EnableRowSecurity("TenantSettings", app_may=UPSERT),
        EnableRowSecurity("TenantDataKey", app_may=APPEND),
        *[EnableRowSecurity(model) for model in ("ApiKey", "Invitation", "Membership", "TenantSecret")],
        EnableRowSecurity("AuditLogEntry", app_may=APPEND, platform_may=APPEND),
        EnableRowSecurity("AuditPending", app_may=READ, platform_may=READ),
        EnableRowSecurity("AuditSeal", column="chain", app_may=READ, platform_may=READ),
        EnableRowSecurity("AuditHead", column="chain", app_may=READ, platform_may=READ),
        EnableRowSecurity("AuditCounter", column="chain", app_may=READ, platform_may=READ),
        EnableRowSecurity("AuditRemoval", column="chain", app_may=[], platform_may=["SELECT", "DELETE"]),
        migrations.RunSQL(load_migration_sql(__file__, "audit_policies"), migrations.RunSQL.noop),
        migrations.RunSQL(load_migration_sql(__file__, "triggers"), migrations.RunSQL.noop),
        migrations.RunSQL(load_migration_sql(__file__, "storage"), migrations.RunSQL.noop),
        migrations.RunPython(_seeds.create_plans, migrations.RunPython.noop),
    ]
