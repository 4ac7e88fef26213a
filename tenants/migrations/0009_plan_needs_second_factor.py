"""Whether members of a plan's tenants must have a second factor. The constant default needs no rewrite of the table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_longer_wrapped_keys")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="needs_second_factor",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Members of its tenants must have a second factor, whatever their role.",
                verbose_name="second factor required",
            ),
        ),
    ]
