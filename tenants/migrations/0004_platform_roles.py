"""The platform's roles and the scopes of keys."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity

# What keys could do before they had scopes.
FORMER_RIGHTS = [
    "api_keys.view",
    "audit.view",
    "datasets.manage",
    "datasets.view",
    "jobs.cancel",
    "jobs.retry",
    "jobs.reveal",
    "jobs.submit",
    "jobs.view",
    "logs.view",
    "members.view",
    "schedules.manage",
    "schedules.view",
    "tenant.pause",
    "tenant.view",
]


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0003_tiers_and_plans"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            "apikey",
            "scopes",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                default=FORMER_RIGHTS,
                help_text="What the key may do: permissions by name, and nothing else.",
                size=None,
            ),
        ),
        # A key that names no scope has none; those that were there before keep what they could do.
        migrations.AlterField(
            "apikey",
            "scopes",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                default=list,
                help_text="What the key may do: permissions by name, and nothing else.",
                size=None,
            ),
        ),
        migrations.AlterField(
            "apikey",
            "expires_at",
            models.DateTimeField(
                blank=True,
                help_text="From then on the key is refused; empty: it lasts until it is revoked.",
                null=True,
            ),
        ),
        migrations.AlterField(
            "apikey",
            "name",
            models.CharField(help_text="What the key is for, such as the program that bears it.", max_length=100),
        ),
        migrations.AlterField(
            "membership",
            "role",
            models.CharField(
                choices=[("owner", "Owner"), ("developer", "Developer"), ("viewer", "Viewer")],
                default="viewer",
                help_text="Viewers look, developers also act, owners also decide who may and with which keys.",
                max_length=20,
            ),
        ),
        migrations.CreateModel(
            "PlatformMembership",
            [
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "role",
                    models.CharField(
                        choices=[("admin", "Admin"), ("operator", "Operator"), ("auditor", "Auditor")],
                        help_text=(
                            "Admins do everything; operators run what is there; auditors read everything and write"
                            " nothing."
                        ),
                        max_length=20,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="platform_membership",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "platform role",
                "ordering": ["created_at"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["admin", "operator", "auditor"])),
                        name="platform_role_known",
                    )
                ],
            },
        ),
        # Only the platform gives roles; who has one is no secret inside the database.
        EnableRowSecurity("PlatformMembership", column=None, app_may=["SELECT"]),
    ]
