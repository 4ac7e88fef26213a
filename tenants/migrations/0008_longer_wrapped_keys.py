"""The length of wrapped data keys, which key services return longer; only the model states it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_legal_holds")]

    operations = [
        migrations.AlterField(
            "tenantdatakey",
            "wrapped",
            models.BinaryField(max_length=2_048, help_text="The key as its master key has encrypted it."),
        )
    ]
