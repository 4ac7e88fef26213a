"""A tenant's own entries by who acted, however busy the actor is elsewhere."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("tenants", "0008_erasure")]

    operations = [
        AddIndexConcurrently(
            "AuditLogEntry",
            models.Index(fields=["tenant", "actor_label", "-id"], name="audit_by_tenant_label"),
        ),
        AddIndexConcurrently(
            "AuditLogEntry",
            models.Index(fields=["tenant", "actor_id", "-id"], name="audit_by_tenant_actor"),
        ),
    ]
