"""Room in each page of the jobs for the next version of those that share it.

A job changes its state three times, most often together with its neighbours. Where the page has no room the new
version goes elsewhere, and all indexes with it.
"""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0036_event_relays")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE scheduling_job SET (fillfactor = 70)", "ALTER TABLE scheduling_job RESET (fillfactor)"
        ),
    ]
