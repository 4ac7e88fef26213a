"""Roles that tenants make of the named rights, and keys that such a role bounds."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import tenants.database.ids
from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_plan_needs_second_factor"),
    ]

    operations = [
        migrations.CreateModel(
            name="TenantRole",
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
                    models.CharField(help_text="Members, keys and rules name it.", max_length=50, verbose_name="name"),
                ),
                (
                    "rights",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50), size=100, verbose_name="rights"
                    ),
                ),
                (
                    "queues",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        help_text="The only queues whose jobs the role sees and submits; empty: all.",
                        size=50,
                        verbose_name="queues",
                    ),
                ),
                (
                    "kinds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        help_text="The only kinds whose jobs the role sees and submits; empty: all.",
                        size=50,
                        verbose_name="kinds",
                    ),
                ),
                (
                    "datasets",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        blank=True,
                        default=list,
                        help_text="The only datasets that the role sees and changes; empty: all.",
                        size=50,
                        verbose_name="datasets",
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
            ],
            options={
                "verbose_name": "tenant role",
                "verbose_name_plural": "tenant roles",
                "db_table": "tenants_role",
                "ordering": ["name"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="invitation",
            name="invitation_role_known",
        ),
        migrations.RemoveConstraint(
            model_name="membership",
            name="membership_role_known",
        ),
        migrations.AddField(
            model_name="apikey",
            name="role",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="A role of the tenant's own that bounds the scopes, and narrows the key as it is narrowed.",
                max_length=50,
                verbose_name="role",
            ),
        ),
        migrations.AlterField(
            model_name="claimrule",
            name="role",
            field=models.CharField(
                help_text="owner, developer, viewer or a role of the tenant's own; admin, operator or auditor of the platform.",
                max_length=50,
                verbose_name="role",
            ),
        ),
        migrations.AlterField(
            model_name="invitation",
            name="role",
            field=models.CharField(
                default="viewer",
                help_text="Viewers read, developers also run jobs, owners also manage members and keys.",
                max_length=50,
                verbose_name="role",
            ),
        ),
        migrations.AlterField(
            model_name="membership",
            name="role",
            field=models.CharField(
                default="viewer",
                help_text="Viewers read, developers also run jobs, owners also manage members and keys.",
                max_length=50,
                verbose_name="role",
            ),
        ),
        migrations.AddField(
            model_name="tenantrole",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
                verbose_name="tenant",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantrole",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="tenant_role_name"),
        ),
        EnableRowSecurity("TenantRole"),
    ]
