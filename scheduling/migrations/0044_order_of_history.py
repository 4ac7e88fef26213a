"""History is ordered by a number. The column is empty in rows from before, so that no table is rewritten."""

from django.db import migrations

from tenants.database.grants import grant_tables

ADD = """
    CREATE SEQUENCE scheduling_jobevent_position;
    ALTER TABLE scheduling_jobevent ADD COLUMN position bigint;
    ALTER TABLE scheduling_jobevent ALTER COLUMN position SET DEFAULT nextval('scheduling_jobevent_position');
    ALTER SEQUENCE scheduling_jobevent_position OWNED BY scheduling_jobevent.position
"""
REMOVE = "ALTER TABLE scheduling_jobevent DROP COLUMN position"


def grant(apps, schema_editor):
    """Grant the sequence in the transaction that makes it: processes that run write events all the while."""
    grant_tables(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0043_settled_refused")]

    operations = [migrations.RunSQL(ADD, REMOVE), migrations.RunPython(grant, migrations.RunPython.noop)]
