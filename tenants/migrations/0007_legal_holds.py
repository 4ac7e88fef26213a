"""Legal holds. The platform places and releases them; a tenant may read its own."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_claim_rules")]

    operations = [
        migrations.CreateModel(
            name="LegalHold",
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
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                ("placed_by", models.CharField(max_length=200, verbose_name="placed by")),
                (
                    "placed_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="placed at"
                    ),
                ),
                ("released_by", models.CharField(blank=True, max_length=200, verbose_name="released by")),
                (
                    "released_at",
                    models.DateTimeField(
                        blank=True, help_text="Empty: it holds.", null=True, verbose_name="released at"
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
                "verbose_name": "legal hold",
                "verbose_name_plural": "legal holds",
                "indexes": [
                    models.Index(
                        condition=models.Q(("released_at", None)), fields=["tenant"], name="legal_hold_in_force"
                    )
                ],
            },
        ),
        EnableRowSecurity("LegalHold", app_may=["SELECT"]),
    ]
