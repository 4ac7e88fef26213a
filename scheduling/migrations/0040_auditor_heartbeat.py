"""The heartbeat of the auditor, which is bound by policies of its own."""

from django.db import migrations, models

from tenants.database.auditor_policies import AllowAuditor


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0039_worker_sandbox"), ("tenants", "0017_auditor")]

    operations = [
        migrations.AlterField(
            model_name="processheartbeat",
            name="role",
            field=models.CharField(
                choices=[("dispatcher", "Dispatcher"), ("beat", "Beat"), ("auditor", "Auditor")], max_length=12
            ),
        ),
        AllowAuditor(
            "ProcessHeartbeat",
            dict.fromkeys(("SELECT", "INSERT", "UPDATE", "DELETE"), "role = 'auditor'"),
        ),
    ]
