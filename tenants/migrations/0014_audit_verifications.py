"""Verifications of the audit log that somebody has asked for, with their progress and what they found."""

import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


def counter():
    return models.BigIntegerField(db_default=0, default=0)


class Migration(migrations.Migration):
    dependencies = [("tenants", "0013_retry_rules")]

    operations = [
        migrations.CreateModel(
            name="AuditVerification",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "requested_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("actor_kind", models.CharField(max_length=20)),
                ("actor_id", models.CharField(blank=True, max_length=64)),
                ("actor_label", models.CharField(blank=True, max_length=200)),
                (
                    "expected_seals",
                    models.BigIntegerField(help_text="About how many seals there were when it began."),
                ),
                ("chains", counter()),
                ("seals", counter()),
                ("entries", counter()),
                ("heads", counter()),
                ("finding_count", counter()),
                (
                    "findings",
                    models.JSONField(default=list, encoder=django.core.serializers.json.DjangoJSONEncoder),
                ),
                ("place", models.TextField(blank=True)),
                ("advanced_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
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
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["tenant", "-id"], name="audit_verification_by_tenant")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("finished_at__isnull", True)),
                        fields=("tenant",),
                        name="audit_verification_one_open",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        # The request of a tenant begins and goes on with its own; only the platform removes what is old.
        EnableRowSecurity("AuditVerification", app_may=["SELECT", "INSERT", "UPDATE"]),
    ]
