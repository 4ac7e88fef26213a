"""Who issued a key, where it is accepted from, and when its owners were told that it ends."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("tenants", "0015_data_keys"),
    ]

    operations = [
        migrations.AddField(
            "apikey",
            "allowed_addresses",
            django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                blank=True,
                default=list,
                help_text="Networks such as 203.0.113.0/24 that the key is accepted from; empty: from everywhere.",
                size=None,
            ),
        ),
        migrations.AddField(
            "apikey",
            "created_by",
            models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            "apikey",
            "warned_at",
            models.DateTimeField(editable=False, help_text="When its owners were told that it ends.", null=True),
        ),
        migrations.AlterField(
            "apikey",
            "expires_at",
            models.DateTimeField(blank=True, help_text="From then on the key is refused.", null=True),
        ),
    ]
