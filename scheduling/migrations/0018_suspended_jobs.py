"""Suspended jobs are found without an index of states on the table of jobs.

No foreign key: adding one would lock the table of jobs, and would be asked at each change of a job. The table of jobs is
read once and not locked. What the version before suspends after that, while it still runs, is not counted until it is
suspended anew; what it resumes is left there, and whoever counts asks the job.
"""

import django.db.models.deletion
from django.db import migrations, models

from tenants.database.rls import EnableRowSecurity, migration_door

PUT = """
    INSERT INTO scheduling_job_suspended (job_id, tenant_id)
    SELECT id, tenant_id FROM scheduling_job WHERE state = 'suspended'
"""


def put_suspended_jobs(apps, schema_editor):
    del apps
    with migration_door(schema_editor), schema_editor.connection.cursor() as cursor:
        cursor.execute(PUT)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0017_rows_of_tenants"), ("tenants", "0011_plan_bounds")]

    operations = [
        migrations.CreateModel(
            name="JobSuspended",
            fields=[
                ("job_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={"db_table": "scheduling_job_suspended"},
        ),
        EnableRowSecurity("JobSuspended"),
        migrations.RunPython(put_suspended_jobs, migrations.RunPython.noop),
    ]
