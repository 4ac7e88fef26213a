"""The last blocks of a worker's event loops. A constant default is added without a rewrite of the table."""

from django.db import migrations, models
from django.db.models.expressions import Value


class Migration(migrations.Migration):
    dependencies = [("scheduling", "0009_io_pool")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="blocks",
            field=models.JSONField(
                db_default=Value([], models.JSONField()), default=list, editable=False, verbose_name="blocks"
            ),
        ),
    ]
