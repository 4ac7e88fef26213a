"""Rules that give roles for claims, and marks of the memberships that claims gave."""

import django.db.models.deletion
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity

MARK = {
    "db_default": False,
    "default": False,
    "editable": False,
    "help_text": "Given by claims at a sign-in, and taken when they end.",
    "verbose_name": "by claims",
}


class Migration(migrations.Migration):
    dependencies = [("tenants", "0005_tenant_regions")]

    operations = [
        migrations.AddField(model_name="membership", name="is_by_claims", field=models.BooleanField(**MARK)),
        migrations.AddField(model_name="platformmembership", name="is_by_claims", field=models.BooleanField(**MARK)),
        migrations.CreateModel(
            name="ClaimRule",
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
                    "claim",
                    models.CharField(
                        help_text="Such as groups; realm_access.roles is a claim within another one.",
                        max_length=100,
                        verbose_name="claim",
                    ),
                ),
                (
                    "value",
                    models.CharField(
                        help_text="The claim has it, or its list contains it.", max_length=200, verbose_name="value"
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("owner", "Owner"),
                            ("developer", "Developer"),
                            ("viewer", "Viewer"),
                            ("admin", "Admin"),
                            ("operator", "Operator"),
                            ("auditor", "Auditor"),
                        ],
                        help_text="Owner, developer or viewer of the tenant; admin, operator or auditor of the platform.",
                        max_length=20,
                        verbose_name="role",
                    ),
                ),
                (
                    "is_confirmed",
                    models.BooleanField(
                        default=False,
                        help_text="Save the rule although none, or each, of the known accounts has this claim.",
                        verbose_name="confirmed",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="The slug of the tenant; empty: the platform.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "db_table": "tenants_claim_rule",
                "ordering": ["claim", "value"],
                "verbose_name": "claim rule",
                "verbose_name_plural": "claim rules",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("claim", "value", "tenant"), name="claim_rule_unique", nulls_distinct=False
                    )
                ],
            },
        ),
        EnableRowSecurity("ClaimRule", app_may=["SELECT"]),
    ]
