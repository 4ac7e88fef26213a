"""Invitations, and which tenant a member has chosen last."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity

ROLES = [("owner", "Owner"), ("developer", "Developer"), ("viewer", "Viewer")]


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("tenants", "0018_secrets"),
    ]

    operations = [
        migrations.AddField(
            "membership",
            "last_chosen_at",
            models.DateTimeField(editable=False, help_text="When its user last chose this tenant.", null=True),
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tenants.database.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "invitee",
                    models.CharField(
                        help_text="A user name or e-mail address, as the inviter typed it.", max_length=254
                    ),
                ),
                ("role", models.CharField(choices=ROLES, default="viewer", max_length=20)),
                ("token_hash", models.CharField(editable=False, max_length=64, unique=True)),
                ("is_mailed", models.BooleanField(default=False, editable=False)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("expires_at", models.DateTimeField(editable=False)),
                ("accepted_at", models.DateTimeField(editable=False, null=True)),
                ("revoked_at", models.DateTimeField(editable=False, null=True)),
                (
                    "invited_by",
                    models.ForeignKey(
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
            options={
                "ordering": ["-created_at"],
                "indexes": [models.Index(fields=["tenant", "-created_at"], name="invitation_by_tenant")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("role__in", ["owner", "developer", "viewer"])),
                        name="invitation_role_known",
                    )
                ],
            },
        ),
        EnableRowSecurity("Invitation"),
    ]
