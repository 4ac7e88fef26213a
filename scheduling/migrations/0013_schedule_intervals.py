"""Schedules at an interval or at a single time. Existing rows keep their cron; no row is written."""

import django.core.validators
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0010_blocks_of_workers")]

    operations = [
        migrations.AlterField(
            model_name="schedule",
            name="cron",
            field=models.CharField(
                blank=True,
                help_text=(
                    "Five fields: minute, hour, day of month, month, day of week, such as 30 2 * * MON; or @daily and "
                    "the like."
                ),
                max_length=200,
                verbose_name="cron",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="interval_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Counted from “starts at”, or from now; 3600 is an hour.",
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(31622400),
                ],
                verbose_name="or every … seconds",
            ),
        ),
        migrations.AddField(
            model_name="schedule",
            name="once_at",
            field=models.DateTimeField(blank=True, help_text="A single run.", null=True, verbose_name="or once at"),
        ),
        migrations.AddConstraint(
            model_name="schedule",
            constraint=models.CheckConstraint(
                condition=(Q(interval_seconds=None, once_at=None) & ~Q(cron=""))
                | Q(cron="", interval_seconds__isnull=False, once_at=None)
                | Q(cron="", interval_seconds=None, once_at__isnull=False),
                name="schedule_one_timing",
            ),
        ),
    ]
