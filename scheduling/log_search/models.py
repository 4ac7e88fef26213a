"""The index of log lines: a filter of the words of each few hundred lines of a tenant."""

from __future__ import annotations

from django.db import models

from scheduling.execution.logs.models import JobLog
from scheduling.log_search.words import FILTER_BYTES
from tenants.tenancy.bases import TenantManager, TenantModel


class LogSegment(TenantModel):
    """The lines of a tenant with ids above ``after_id`` up to ``last_id``, and a Bloom filter of their words.

    The newest segment of a tenant grows until it is full; the newest one of all is how far the index goes. A filter is
    stored in the row itself and has one size, so that a search reads neighbouring pages.
    """

    after_id = models.UUIDField(help_text="The last line of the segment before.")
    last_id = models.UUIDField()
    until = models.DateTimeField(help_text="The time of the last line's id.")
    lines = models.IntegerField()
    is_keyed = models.BooleanField(help_text="Whether the words were hashed with a secret of the tenant.")
    filter = models.BinaryField(max_length=FILTER_BYTES)

    class Meta:
        db_table = "scheduling_log_segment"
        constraints = [models.UniqueConstraint(fields=["tenant", "last_id"], name="log_segment_of_tenant")]
        indexes = [models.Index(fields=["last_id"], name="log_segment_by_last")]

    def __str__(self) -> str:
        return f"{self.lines} lines until {self.until}"


class LogVolume(models.Model):
    """The bytes of a tenant's lines of one day in UTC, and how many its limit allowed when they were last counted."""

    pk = models.CompositePrimaryKey("tenant_id", "day")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    day = models.DateField()
    bytes = models.BigIntegerField()
    allowed = models.BigIntegerField(null=True)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_log_volume"

    def __str__(self) -> str:
        return f"{self.bytes} bytes on {self.day}"


class PlatformLog(models.Model):
    """One line of the platform's own processes; its fields name the process and what the line is about."""

    id = models.UUIDField(primary_key=True)
    level = models.PositiveSmallIntegerField(choices=JobLog.Level.choices)
    message = models.TextField()
    fields = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_platform_log"

    def __str__(self) -> str:
        return self.message[:80]

    @property
    def job_id(self) -> str:
        """Return the id of the job that it is about, empty for none."""
        return str(self.fields.get("job_id", ""))
