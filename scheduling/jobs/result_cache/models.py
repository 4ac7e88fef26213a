"""The table that lists the completed jobs whose results may be reused."""

from __future__ import annotations

from django.db import models

from tenants.tenancy.bases import TenantManager


class ResultCacheEntry(models.Model):
    """A completed job whose result is reused for equal jobs of its tenant until ``expires_at``.

    Jobs are equal if ``id`` is the same for them: a hash of the tenant, the kind with its ``result_version``, the
    payload and the settings that the kind declares. The result itself is stored with the job.
    """

    id = models.UUIDField(primary_key=True)
    # No constraint and no index: it is found by id only, and the tenant's erasure deletes it.
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=64)
    job_id = models.UUIDField()
    expires_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_result_cache_entry"
        indexes = [models.Index(fields=["expires_at"], name="result_cache_expires")]

    def __str__(self) -> str:
        return f"{self.kind} by {self.job_id}"
