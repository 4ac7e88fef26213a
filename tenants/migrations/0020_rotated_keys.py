"""When a key was rotated: from then on it does not count against the limit of keys."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0019_invitations")]

    operations = [
        migrations.AddField(
            "apikey",
            "rotated_at",
            models.DateTimeField(editable=False, help_text="When another key took its place.", null=True),
        ),
    ]
