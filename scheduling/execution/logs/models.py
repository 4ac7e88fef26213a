"""Log lines and errors of jobs, which are only appended, and a count of each job's log."""

from __future__ import annotations

from django.db import models

from scheduling.execution.models import HistoryRow
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantManager


class JobLog(HistoryRow):
    """One line that a processor logged; the lines of a job are ordered by id."""

    class Level(models.IntegerChoices):
        DEBUG = 10, "debug"
        INFO = 20, "info"
        WARNING = 30, "warning"
        ERROR = 40, "error"

    execution_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    level = models.PositiveSmallIntegerField(choices=Level.choices)
    message = models.TextField()
    fields = models.JSONField(default=dict)
    sealed = SealedJSONField(null=True, help_text="Message and fields, if values are encrypted; they are empty then.")
    at = models.DateTimeField(help_text="By the worker's clock.")

    class Meta:
        indexes = [
            models.Index(fields=["job", "id"], name="job_log_job"),
            models.Index(fields=["tenant", "id"], name="job_log_by_tenant"),
        ]

    def __str__(self) -> str:
        return self.message[:80]


class JobLogTally(models.Model):
    """The size of one job's log over all its attempts, stored so that no write has to count the lines again.

    ``full_line_id`` is the id of the line which says that the log is full, once it is.
    """

    job_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    offered_bytes = models.BigIntegerField(help_text="Bytes of all lines, dropped ones included.")
    dropped_lines = models.BigIntegerField(default=0)
    full_line_id = models.UUIDField(null=True)

    objects = TenantManager()


class JobError(HistoryRow):
    """One error that ended an execution or a waiting job; the list of errors groups them by fingerprint."""

    execution_id = models.UUIDField(null=True, help_text="None if the job had not started.")
    kind = models.CharField(max_length=64)
    error_type = models.CharField(max_length=100)
    error_message = SealedErrorField(
        max_length=500, owner="job_id", help_text="Its beginning; the execution has the whole text."
    )
    error_fingerprint = models.CharField(max_length=16)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "error"
        indexes = [
            models.Index(fields=["tenant", "id"], name="job_error_tenant"),
            models.Index(fields=["tenant", "error_fingerprint", "id"], name="job_error_fingerprint"),
        ]

    def __str__(self) -> str:
        return f"{self.error_type}: {self.error_message[:80]}"
