"""Messages to other systems, events of other systems, and compensations of runs and batches."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from scheduling.migrations._alert_seeds import EFFECT_RULES, add_rules
from tenants.database.rls import AddCompositeForeignKey, EnableRowSecurity, cross_tenant_migration

TABLES = ("OutboxRoute", "OutboxMessage", "EventTrigger", "InboxEvent", "Compensation")


def create_rules(apps, schema_editor):
    add_rules(apps, schema_editor, EFFECT_RULES)


def delete_rules(apps, schema_editor):
    with cross_tenant_migration(schema_editor):
        rules = apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias)
        rules.filter(measure__in=[rule[1] for rule in EFFECT_RULES.values()]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("scheduling", "0032_priority_rules"),
        ("tenants", "0003_tenant_provision_digest"),
    ]

    operations = [
        migrations.CreateModel(
            name="Compensation",
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
                    "owner_type",
                    models.CharField(
                        choices=[("run", "workflow run"), ("batch", "batch")], max_length=5, verbose_name="owner type"
                    ),
                ),
                (
                    "owner_id",
                    models.UUIDField(
                        help_text="Id of the workflow run, which is its job's, or of the batch.", verbose_name="owner"
                    ),
                ),
                (
                    "work",
                    models.CharField(
                        help_text="The node of the run, or the id of the job in the batch.",
                        max_length=200,
                        verbose_name="work",
                    ),
                ),
                (
                    "kind",
                    models.CharField(help_text="Kind of the job that compensates.", max_length=64, verbose_name="kind"),
                ),
                ("payload", models.JSONField(null=True, verbose_name="payload")),
                ("max_retries", models.PositiveSmallIntegerField(null=True, verbose_name="max retries")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("begun", "work begun"),
                            ("ready", "work done"),
                            ("pending", "to be compensated"),
                            ("running", "being compensated"),
                            ("compensated", "compensated"),
                            ("needs_attention", "needs attention"),
                            ("settled", "settled by hand"),
                        ],
                        max_length=15,
                        verbose_name="state",
                    ),
                ),
                (
                    "done_at",
                    models.DateTimeField(
                        help_text="When the work ended, or began; the last one is compensated first.",
                        verbose_name="done at",
                    ),
                ),
                ("due_at", models.DateTimeField(null=True, verbose_name="due at")),
                ("job_id", models.UUIDField(help_text="The job that compensates.", null=True, verbose_name="job id")),
                ("error", models.CharField(blank=True, db_default="", max_length=500, verbose_name="error")),
                ("ended_at", models.DateTimeField(null=True, verbose_name="ended at")),
            ],
            options={
                "verbose_name": "compensation",
                "verbose_name_plural": "compensations",
                "db_table": "scheduling_compensation",
            },
        ),
        migrations.CreateModel(
            name="EventTrigger",
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
                    "topic",
                    models.CharField(
                        help_text="Such as order.paid; order.* matches all topics that begin with order.",
                        max_length=64,
                        verbose_name="topic",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        blank=True,
                        help_text="The event's data is the payload. Empty: use a template.",
                        max_length=64,
                        verbose_name="kind",
                    ),
                ),
                (
                    "template",
                    models.CharField(
                        blank=True,
                        help_text="Name of a job template; the event's data has the parameters.",
                        max_length=50,
                        verbose_name="template",
                    ),
                ),
                ("is_enabled", models.BooleanField(default=True, verbose_name="enabled")),
            ],
            options={
                "verbose_name": "event trigger",
                "verbose_name_plural": "event triggers",
                "db_table": "scheduling_event_trigger",
            },
        ),
        migrations.CreateModel(
            name="InboxEvent",
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
                    "source",
                    models.CharField(help_text="The system that sent it.", max_length=100, verbose_name="source"),
                ),
                (
                    "event_id",
                    models.CharField(help_text="Its id in the source.", max_length=200, verbose_name="event id"),
                ),
                ("topic", models.CharField(max_length=64, verbose_name="topic")),
                ("fingerprint", models.BinaryField(verbose_name="fingerprint")),
                (
                    "jobs",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        help_text="The jobs that it has started.",
                        size=None,
                        verbose_name="jobs",
                    ),
                ),
                (
                    "received_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="received at"
                    ),
                ),
            ],
            options={
                "verbose_name": "received event",
                "verbose_name_plural": "received events",
                "db_table": "scheduling_inbox_event",
            },
        ),
        migrations.CreateModel(
            name="OutboxMessage",
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
                ("job_id", models.UUIDField(help_text="The job that has emitted it.", verbose_name="job id")),
                ("topic", models.CharField(max_length=64, verbose_name="topic")),
                (
                    "key",
                    models.CharField(
                        blank=True,
                        help_text="Messages of one key are delivered in the order in which they were stored.",
                        max_length=200,
                        verbose_name="key",
                    ),
                ),
                ("body", models.JSONField(verbose_name="message")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "pending"),
                            ("delivered", "delivered"),
                            ("dead", "dead"),
                            ("unrouted", "without a route"),
                        ],
                        max_length=9,
                        verbose_name="state",
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField(db_default=0, default=0, verbose_name="attempt")),
                (
                    "due_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="due at"),
                ),
                ("error", models.CharField(blank=True, db_default="", max_length=500, verbose_name="error")),
                (
                    "delivery_job_id",
                    models.UUIDField(help_text="The job that delivers it.", null=True, verbose_name="delivery job"),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "ended_at",
                    models.DateTimeField(
                        help_text="When it was delivered or given up.", null=True, verbose_name="ended at"
                    ),
                ),
            ],
            options={
                "verbose_name": "outbox message",
                "verbose_name_plural": "outbox messages",
                "db_table": "scheduling_outbox_message",
            },
        ),
        migrations.CreateModel(
            name="OutboxRoute",
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
                    "topic",
                    models.CharField(
                        help_text="Such as order.paid; order.* matches all topics that begin with order.",
                        max_length=64,
                        verbose_name="topic",
                    ),
                ),
                (
                    "adapter",
                    models.CharField(
                        help_text="webhook, redis_stream, or one of a plug-in.", max_length=40, verbose_name="adapter"
                    ),
                ),
                (
                    "target",
                    models.CharField(
                        help_text="For webhook the name of a webhook, for redis_stream a stream.",
                        max_length=200,
                        verbose_name="target",
                    ),
                ),
                (
                    "is_enabled",
                    models.BooleanField(
                        default=True, help_text="While a route is disabled, its messages wait.", verbose_name="enabled"
                    ),
                ),
            ],
            options={
                "verbose_name": "outbox route",
                "verbose_name_plural": "outbox routes",
                "db_table": "scheduling_outbox_route",
            },
        ),
        migrations.AddField(
            model_name="batch",
            name="compensate",
            field=models.JSONField(
                help_text="The job that undoes a member if the batch fails or is cancelled.",
                null=True,
                verbose_name="compensation",
            ),
        ),
        migrations.AddField(
            model_name="batch",
            name="compensation_planned_at",
            field=models.DateTimeField(null=True, verbose_name="compensation planned at"),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(
                condition=models.Q(
                    ("compensate__isnull", False),
                    ("compensation_planned_at__isnull", True),
                    ("ended_at__isnull", False),
                ),
                fields=["id"],
                name="batch_to_compensate",
            ),
        ),
        migrations.AddField(
            model_name="compensation",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="eventtrigger",
            name="tenant",
            field=models.ForeignKey(
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
        migrations.AddField(
            model_name="inboxevent",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="outboxmessage",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddField(
            model_name="outboxroute",
            name="tenant",
            field=models.ForeignKey(
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
        migrations.AddField(
            model_name="outboxmessage",
            name="route",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="messages",
                to="scheduling.outboxroute",
                verbose_name="route",
            ),
        ),
        migrations.AddIndex(
            model_name="compensation",
            index=models.Index(fields=["tenant", "-id"], name="compensation_of_tenant"),
        ),
        migrations.AddIndex(
            model_name="compensation",
            index=models.Index(
                condition=models.Q(("state__in", ("begun", "ready", "pending", "running"))),
                fields=["owner_id"],
                name="compensation_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="compensation",
            constraint=models.UniqueConstraint(fields=("tenant", "owner_id", "work"), name="compensation_once"),
        ),
        migrations.AddConstraint(
            model_name="eventtrigger",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="event_trigger_name"),
        ),
        migrations.AddConstraint(
            model_name="eventtrigger",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind", ""), ("template", ""), _connector="XOR"),
                name="event_trigger_starts_one_thing",
            ),
        ),
        migrations.AddIndex(
            model_name="inboxevent",
            index=models.Index(fields=["tenant", "-id"], name="inbox_event_of_tenant"),
        ),
        migrations.AddConstraint(
            model_name="inboxevent",
            constraint=models.UniqueConstraint(fields=("tenant", "source", "event_id"), name="inbox_event_once"),
        ),
        migrations.AddConstraint(
            model_name="outboxroute",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="outbox_route_name"),
        ),
        migrations.AddConstraint(
            model_name="outboxroute",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="outbox_route_tenant_id"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(fields=["tenant", "-id"], name="outbox_of_tenant"),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("state", "pending")),
                fields=["route", "created_at", "id"],
                name="outbox_pending_of_route",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("delivery_job_id__isnull", False), ("state", "pending")),
                fields=["delivery_job_id"],
                name="outbox_in_delivery",
            ),
        ),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(condition=models.Q(("state", "dead")), fields=["ended_at"], name="outbox_dead"),
        ),
        migrations.AddIndex(
            model_name="compensation",
            index=models.Index(
                condition=models.Q(("state", "needs_attention")), fields=["tenant"], name="compensation_stuck"
            ),
        ),
        *[EnableRowSecurity(model) for model in TABLES],
        AddCompositeForeignKey(
            "OutboxMessage", columns=("tenant_id", "route_id"), to="scheduling.OutboxRoute", on_delete="SET NULL"
        ),
        migrations.RunPython(create_rules, delete_rules),
    ]
