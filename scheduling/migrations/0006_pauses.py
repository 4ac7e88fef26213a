"""Pauses that end by themselves, drains, and an index by which a kind's jobs come back in their order."""

from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0005_schedules")]

    operations = [
        migrations.CreateModel(
            name="Drain",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(choices=[("queue", "Queue"), ("kind", "Kind"), ("pool", "Pool")], max_length=5),
                ),
                ("name", models.CharField(max_length=64)),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("started_by", models.CharField(blank=True, max_length=200)),
                ("started_at", models.DateTimeField()),
                ("until", models.DateTimeField(blank=True, null=True)),
                ("drained_at", models.DateTimeField(blank=True, help_text="When nothing was left.", null=True)),
            ],
        ),
        migrations.RemoveIndex(
            model_name="jobheld",
            name="job_held_kind",
        ),
        migrations.AddField(
            model_name="kindpause",
            name="paused_by",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="kindpause",
            name="paused_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="queue",
            name="paused_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="queue",
            name="paused_by",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="queue",
            name="paused_until",
            field=models.DateTimeField(
                blank=True, help_text="It is resumed by itself at this time; empty: by a person.", null=True
            ),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="is_paused",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="pause_reason",
            field=models.CharField(blank=True, default="", max_length=200),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="paused_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="paused_by",
            field=models.CharField(blank=True, default="", editable=False, max_length=200),
        ),
        migrations.AddField(
            model_name="workerpool",
            name="paused_until",
            field=models.DateTimeField(
                blank=True, help_text="It is resumed by itself at this time; empty: by a person.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="worker",
            name="status",
            field=models.CharField(
                choices=[
                    ("online", "Online"),
                    ("draining", "Draining"),
                    ("stopping", "Stopping"),
                    ("stopped", "Stopped"),
                ],
                default="online",
                max_length=10,
            ),
        ),
        migrations.AddIndex(
            model_name="jobheld",
            index=models.Index(fields=["kind", "rank"], name="job_held_kind_rank"),
        ),
        migrations.AddConstraint(
            model_name="drain",
            constraint=models.UniqueConstraint(fields=("scope", "name"), name="drain_scope_name"),
        ),
        EnableRowSecurity("Drain", column=None, app_may=["SELECT"]),
    ]
