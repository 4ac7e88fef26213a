"""Error texts of any length, because sealed ones are longer; no table is rewritten."""

from django.db import migrations, models

_TEXTS = {
    ("bulkoperation", "error"): models.TextField(blank=True, default="", max_length=500, verbose_name="error"),
    ("circuit", "error_message"): models.TextField(max_length=500, verbose_name="error message"),
    ("circuitnews", "error_message"): models.TextField(max_length=500),
    ("compensation", "error"): models.TextField(blank=True, db_default="", max_length=500, verbose_name="error"),
    ("joberror", "error_message"): models.TextField(
        help_text="Its beginning; the execution has the whole text.", max_length=500
    ),
    ("outboxmessage", "error"): models.TextField(blank=True, db_default="", max_length=500, verbose_name="error"),
    ("batch", "fire_error"): models.TextField(
        blank=True,
        db_default="",
        help_text="Why it could not be submitted.",
        max_length=500,
        verbose_name="fire error",
    ),
}


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0045_batch_conditions")]

    operations = [
        migrations.AddField(
            "circuit",
            "error_job_id",
            models.UUIDField(help_text="The job that failed last.", null=True, verbose_name="error job id"),
        ),
        *(migrations.AlterField(model, name, field) for (model, name), field in _TEXTS.items()),
    ]
