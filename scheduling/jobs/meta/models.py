"""The members of jobs' meta that filters find."""

from __future__ import annotations

from django.db import models

from tenants.tenancy.bases import TenantManager

MAX_META_BYTES = 4 * 1024
MAX_META_MEMBERS = 20
MAX_META_NAME_CHARACTERS = 64
# A longer value is stored with the job, and not found.
MAX_FOUND_CHARACTERS = 200


class JobMeta(models.Model):
    """One member of a job's meta that is a text, a number or a boolean.

    A table with a plain index, because row-level security keeps the operators of a GIN index from being used.
    """

    pk = models.CompositePrimaryKey("job_id", "name")
    job_id = models.UUIDField()
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    name = models.CharField(max_length=MAX_META_NAME_CHARACTERS)
    value = models.CharField(max_length=MAX_FOUND_CHARACTERS)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_job_meta"
        # The member is first, so that it serves readers of all tenants; the id gives a tenant's jobs in order.
        indexes = [models.Index(fields=["name", "value", "tenant", "job_id"], name="job_meta_member")]
