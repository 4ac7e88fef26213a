"""Plans say how often and when jobs of a kind are tried again. A column with a constant default rewrites no row."""

from django.db import migrations, models

import tenants.plans.retry_rules


class Migration(migrations.Migration):
    dependencies = [("tenants", "0012_stops_by_platform")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="retry_rules",
            field=models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                default=dict,
                help_text="How often and when jobs of a kind are tried again, where that is not the kind's own affair.",
                validators=[tenants.plans.retry_rules.check_retry_rules],
            ),
        ),
    ]
