"""The digest of the data with which a tenant was provisioned. A constant default needs no rewrite of the table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_platform_keys")]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="provision_digest",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=16,
                verbose_name="provision digest",
            ),
        ),
    ]
