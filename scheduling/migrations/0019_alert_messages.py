"""Whom alerts notify and the messages to them, new tables; the platform's admins are the default."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models
from django.utils import timezone

import tenants.database.ids
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity, cross_tenant_migration

SEVERITIES = [("info", "info"), ("warning", "warning"), ("critical", "critical")]
FILL = "ALTER TABLE scheduling_alert_message SET (fillfactor = 70)"


def own_fields():
    """Return the fields of each of these models: its key and the tenant, which the platform's own rows lack."""
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


def severity_field():
    return models.CharField(
        choices=SEVERITIES, db_default="info", default="info", max_length=8, verbose_name="minimum severity"
    )


def refer(to, name, *, related_name="+", **options):
    """Return a foreign key to another of the app's models, whose rows go with that row."""
    options = {"on_delete": django.db.models.deletion.CASCADE, **options}
    return models.ForeignKey(related_name=related_name, to=f"scheduling.{to}", verbose_name=name, **options)


def now_field(name, **options):
    return models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name=name, **options)


def add_default_group(apps, schema_editor):
    """Create the platform's default group: mail to its admins."""
    with cross_tenant_migration(schema_editor):
        groups = apps.get_model("scheduling", "ContactGroup").objects.using(schema_editor.connection.alias)
        group = groups.create(name="Platform admins", is_default=True)
        contacts = apps.get_model("scheduling", "Contact").objects.using(schema_editor.connection.alias)
        contacts.create(group=group, channel="role", label="admin", roles=["admin"])


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0018_alert_rules"), ("tenants", "0003_tenant_provision_digest")]

    operations = [
        migrations.CreateModel(
            name="ContactGroup",
            fields=[
                *own_fields(),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                ("description", models.CharField(blank=True, max_length=500, verbose_name="description")),
                (
                    "is_default",
                    models.BooleanField(
                        default=False,
                        help_text="Receives the alerts that no owner and no route takes.",
                        verbose_name="default",
                    ),
                ),
            ],
            options={
                "verbose_name": "contact group",
                "verbose_name_plural": "contact groups",
                "db_table": "scheduling_contact_group",
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "name"), name="contact_group_name", nulls_distinct=False),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)),
                        fields=("tenant",),
                        name="contact_group_default",
                        nulls_distinct=False,
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Contact",
            fields=[
                *own_fields(),
                (
                    "channel",
                    models.CharField(
                        choices=[
                            ("mail", "mail"),
                            ("role", "mail to a role"),
                            ("slack", "Slack"),
                            ("teams", "Microsoft Teams"),
                            ("pagerduty", "PagerDuty"),
                            ("opsgenie", "Opsgenie"),
                            ("webhook", "signed webhook"),
                        ],
                        max_length=10,
                        verbose_name="channel",
                    ),
                ),
                (
                    "label",
                    models.CharField(
                        blank=True,
                        help_text="What is shown of the target: its host and last characters.",
                        max_length=60,
                        verbose_name="label",
                    ),
                ),
                ("sealed_target", models.TextField(blank=True, editable=False, verbose_name="sealed target")),
                ("sealed_secret", models.TextField(blank=True, editable=False, verbose_name="sealed secret")),
                (
                    "roles",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=20),
                        blank=True,
                        default=list,
                        help_text="Holders of these roles, of the tenant or of the platform, receive the mail.",
                        size=None,
                        verbose_name="roles",
                    ),
                ),
                ("min_severity", severity_field()),
                (
                    "per_hour",
                    models.PositiveSmallIntegerField(
                        db_default=20,
                        default=20,
                        help_text="Alerts beyond it wait for a digest at the full hour.",
                        validators=[MinValueValidator(1), MaxValueValidator(1000)],
                        verbose_name="messages per hour",
                    ),
                ),
                ("is_enabled", models.BooleanField(db_default=True, default=True, verbose_name="enabled")),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        editable=False,
                        help_text="Messages in a row that failed.",
                        verbose_name="failures",
                    ),
                ),
                (
                    "disabled_reason",
                    models.CharField(blank=True, editable=False, max_length=500, verbose_name="disabled because"),
                ),
                ("group", refer("contactgroup", "group", related_name="contacts", db_index=False)),
            ],
            options={
                "verbose_name": "contact",
                "verbose_name_plural": "contacts",
                "db_table": "scheduling_contact",
                "constraints": [models.UniqueConstraint(fields=("group", "label"), name="contact_label")],
            },
        ),
        migrations.CreateModel(
            name="AlertRoute",
            fields=[
                *own_fields(),
                ("position", models.PositiveIntegerField(verbose_name="position")),
                (
                    "measure",
                    models.CharField(
                        blank=True, help_text="Empty for every measure.", max_length=40, verbose_name="measure"
                    ),
                ),
                ("min_severity", severity_field()),
                (
                    "only_tenant",
                    models.UUIDField(blank=True, help_text="Empty for every tenant.", null=True, verbose_name="tenant"),
                ),
                (
                    "active_days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(
                            validators=[MinValueValidator(1), MaxValueValidator(7)]
                        ),
                        blank=True,
                        default=list,
                        help_text="1 is Monday; empty: every day.",
                        size=None,
                        verbose_name="days",
                    ),
                ),
                ("active_from", models.TimeField(blank=True, null=True, verbose_name="from")),
                ("active_until", models.TimeField(blank=True, null=True, verbose_name="until")),
                (
                    "zone",
                    models.CharField(db_default="UTC", default="UTC", max_length=64, verbose_name="time zone"),
                ),
                ("group", refer("contactgroup", "group")),
            ],
            options={
                "verbose_name": "alert route",
                "verbose_name_plural": "alert routes",
                "db_table": "scheduling_alert_route",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "position"), name="alert_route_position", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertOwner",
            fields=[
                *own_fields(),
                (
                    "target",
                    models.CharField(
                        choices=[("queue", "queue"), ("kind", "kind"), ("template", "template")],
                        max_length=8,
                        verbose_name="type",
                    ),
                ),
                ("name", models.CharField(max_length=200, verbose_name="name")),
                ("group", refer("contactgroup", "group")),
            ],
            options={
                "verbose_name": "owner",
                "verbose_name_plural": "owners",
                "db_table": "scheduling_alert_owner",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "target", "name"), name="alert_owner_name", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertSilence",
            fields=[
                *own_fields(),
                ("object_key", models.CharField(blank=True, max_length=200, verbose_name="object")),
                ("only_kind", models.CharField(blank=True, max_length=64, verbose_name="kind")),
                ("only_queue", models.CharField(blank=True, max_length=60, verbose_name="queue")),
                ("only_tenant", models.UUIDField(blank=True, null=True, verbose_name="tenant")),
                ("starts_at", models.DateTimeField(default=timezone.now, verbose_name="from")),
                ("ends_at", models.DateTimeField(help_text="At most 30 days.", verbose_name="until")),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "is_maintenance",
                    models.BooleanField(
                        default=False,
                        help_text="Objectives leave out late jobs of this time, and count them separately.",
                        verbose_name="maintenance",
                    ),
                ),
                ("created_by", models.CharField(editable=False, max_length=200, verbose_name="created by")),
                ("ended_by", models.CharField(blank=True, editable=False, max_length=200, verbose_name="ended by")),
                ("rule", refer("alertrule", "rule", null=True, blank=True)),
            ],
            options={
                "verbose_name": "silence",
                "verbose_name_plural": "silences",
                "db_table": "scheduling_alert_silence",
                "indexes": [models.Index(fields=["ends_at"], name="alert_silence_end")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="alert_silence_time"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertMessage",
            fields=[
                *own_fields(),
                (
                    "what",
                    models.CharField(
                        choices=[("alerts", "alerts"), ("digest", "digest"), ("test", "test"), ("notice", "notice")],
                        max_length=10,
                        verbose_name="what",
                    ),
                ),
                ("body", models.JSONField(verbose_name="body")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("sending", "being sent"),
                            ("sent", "sent"),
                            ("failed", "failed"),
                        ],
                        db_default="queued",
                        default="queued",
                        max_length=8,
                        verbose_name="state",
                    ),
                ),
                ("due_at", now_field("due at")),
                ("claim", models.UUIDField(editable=False, null=True, verbose_name="claim")),
                ("claimed_at", models.DateTimeField(null=True, verbose_name="claimed at")),
                ("attempt", models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name="attempt")),
                ("job_id", models.UUIDField(null=True, verbose_name="job id")),
                ("sent_at", models.DateTimeField(null=True, verbose_name="sent at")),
                ("status", models.PositiveSmallIntegerField(null=True, verbose_name="status")),
                ("error", models.CharField(blank=True, max_length=500, verbose_name="error")),
                ("created_at", now_field("created at", editable=False)),
                ("contact", refer("contact", "contact", related_name="messages", null=True, db_index=False)),
            ],
            options={
                "verbose_name": "alert message",
                "verbose_name_plural": "alert messages",
                "db_table": "scheduling_alert_message",
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["queued", "sending"])),
                        fields=["due_at"],
                        name="alert_message_due",
                    ),
                    models.Index(fields=["contact", "-id"], name="alert_message_of_contact"),
                    models.Index(fields=["tenant", "-id"], name="alert_message_of_tenant"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertNotice",
            fields=[
                *own_fields(),
                ("revision", models.IntegerField(verbose_name="revision")),
                (
                    "what",
                    models.CharField(
                        choices=[
                            ("fired", "fired"),
                            ("resolved", "resolved"),
                            ("escalated", "escalated"),
                        ],
                        max_length=10,
                        verbose_name="what",
                    ),
                ),
                ("due_at", models.DateTimeField(verbose_name="due at")),
                (
                    "dropped",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Why it was not sent.",
                        max_length=12,
                        verbose_name="dropped",
                    ),
                ),
                ("alert", refer("alert", "alert", related_name="notices", db_index=False)),
                ("contact", refer("contact", "contact", db_index=False)),
                (
                    "message",
                    refer(
                        "alertmessage",
                        "message",
                        related_name="notices",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
                "db_table": "scheduling_alert_notice",
                "indexes": [
                    models.Index(
                        condition=models.Q(("dropped", ""), ("message__isnull", True)),
                        fields=["contact", "due_at"],
                        name="alert_notice_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("alert", "revision", "contact"), name="alert_notice_once")
                ],
            },
        ),
        migrations.AddField(
            model_name="alertrule",
            name="escalate_to",
            field=refer(
                "contactgroup",
                "escalate to",
                null=True,
                blank=True,
                on_delete=django.db.models.deletion.SET_NULL,
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="silence",
            field=refer("alertsilence", "silence", null=True, on_delete=django.db.models.deletion.SET_NULL),
        ),
        # Not part of the tables' creation, because foreign keys need them in this migration.
        migrations.AddConstraint(
            model_name="contactgroup",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="contact_group_tenant_id"),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="contact_tenant_id"),
        ),
        *(EnableRowSecurity(name) for name in ("ContactGroup", "Contact", "AlertRoute", "AlertOwner", "AlertSilence")),
        # A tenant deletes them with a contact, and creates none.
        *(EnableRowSecurity(name, app_may=["SELECT", "UPDATE", "DELETE"]) for name in ("AlertMessage", "AlertNotice")),
        *(
            AddCompositeForeignKey(
                name, columns=("tenant_id", f"{to}_id"), to=f"scheduling.{model}", on_delete="CASCADE"
            )
            for name, to, model in (
                ("Contact", "group", "ContactGroup"),
                ("AlertRoute", "group", "ContactGroup"),
                ("AlertOwner", "group", "ContactGroup"),
                ("AlertMessage", "contact", "Contact"),
                ("AlertNotice", "contact", "Contact"),
            )
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunPython(add_default_group, migrations.RunPython.noop),
    ]
