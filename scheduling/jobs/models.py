"""Jobs, and the small tables that list the jobs which wait.

No index on ``Job`` contains state, fence, attempts or times: each update of these then stays on its page (HOT). Jobs in
states that must be found are listed in tables of their own: ready, due, held, suspended, deadline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value
from django.utils.translation import gettext_lazy as _

from scheduling.jobs.batches.models import Batch
from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS, UniqueUntil
from scheduling.jobs.lifecycle import TERMINAL_STATES, JobState, started_attempts
from scheduling.jobs.querysets import JobManager
from scheduling.kit.base import MAX_DEPENDENCY_CHARACTERS
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantManager, TenantModel

STATE_CHOICES = [(state.value, _(state.value)) for state in JobState]


class Job(TenantModel):
    """One unit of work of one tenant, as submitted."""

    kind = models.CharField(_("kind"), max_length=64)
    queue = models.ForeignKey("scheduling.Queue", models.PROTECT, verbose_name=_("queue"), db_index=False)
    state = models.CharField(_("state"), max_length=12, choices=STATE_CHOICES)
    priority = models.SmallIntegerField(
        _("priority"), default=0, help_text=_("Orders this tenant's own jobs only; higher runs earlier.")
    )
    rank = models.BigIntegerField(
        _("rank"), help_text=_("Microseconds: available time less priority × AGEING_SECONDS; fixed at submit.")
    )
    fair_key = models.CharField(_("fair key"), max_length=100, blank=True)
    concurrency_key = models.CharField(
        _("concurrency key"),
        max_length=MAX_JOB_KEY_CHARACTERS,
        null=True,
        blank=True,
        help_text=_("Bounds how many of the tenant's jobs of this kind with the same key run at once."),
    )
    unique_key = models.CharField(_("unique key"), max_length=MAX_JOB_KEY_CHARACTERS, null=True, blank=True)
    unique_until = models.CharField(
        _("unique until"), max_length=8, choices=UniqueUntil.choices, null=True, blank=True, editable=False
    )
    tags = ArrayField(models.CharField(max_length=64), verbose_name=_("tags"), default=list, blank=True)
    meta = models.JSONField(_("meta"), default=dict, blank=True, db_default=Value({}, models.JSONField()))
    payload = SealedJSONField(verbose_name=_("payload"), default=dict)
    payload_bytes = models.IntegerField(_("payload bytes"), db_default=0, help_text=_("Input of the cost prediction."))
    payload_hash = models.BinaryField(_("payload hash"), max_length=32, help_text=_("SHA-256 of the whole request."))
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0, help_text=_("Failed attempts."))
    crash_count = models.PositiveSmallIntegerField(_("crash count"), default=0)
    merge_disabled = models.BooleanField(
        _("shares no message"),
        db_default=False,
        editable=False,
        help_text=_("Whether a message with this job killed a worker. Such a job is sent in a message of its own."),
    )
    execution_count = models.PositiveIntegerField(_("execution count"), default=0)
    yield_count = models.PositiveIntegerField(
        _("yield count"), default=0, db_default=0, help_text=_("Number of time slices after which it yielded its slot.")
    )
    max_retries = models.PositiveSmallIntegerField(_("max retries"), default=3)
    fence = models.BigIntegerField(_("fence"), default=0)
    used_us = models.BigIntegerField(
        _("used us"), db_default=0, help_text=_("Slot time of finished work that will not be repeated.")
    )
    progress_current = models.BigIntegerField(_("progress current"), default=0)
    progress_total = models.BigIntegerField(_("progress total"), default=0)
    progress_message = models.CharField(_("progress message"), max_length=200, blank=True)
    checkpoint = SealedJSONField(verbose_name=_("checkpoint"), default=dict, blank=True)
    dependencies = ArrayField(
        models.CharField(max_length=MAX_DEPENDENCY_CHARACTERS),
        verbose_name=_("dependencies"),
        null=True,
        editable=False,
        help_text=_("Dependencies that its last execution used; empty before the first."),
    )
    shared_dependencies = ArrayField(
        models.CharField(max_length=MAX_DEPENDENCY_CHARACTERS),
        verbose_name=_("shared dependencies"),
        null=True,
        editable=False,
        help_text=_("Those of them that all tenants share."),
    )
    result = SealedJSONField(verbose_name=_("result"), null=True, blank=True)
    error_type = models.CharField(_("error type"), max_length=100, blank=True)
    error_message = SealedErrorField(_("error message"), blank=True)
    error_fingerprint = models.CharField(_("error fingerprint"), max_length=16, blank=True)
    run_at = models.DateTimeField(_("run at"), help_text=_("Not started before this time."))
    deadline_at = models.DateTimeField(_("deadline at"), null=True, blank=True)
    traceparent = models.CharField(
        _("traceparent"),
        max_length=55,
        null=True,
        blank=True,
        editable=False,
        help_text=_("W3C trace context of the submission."),
    )
    trace_id = models.UUIDField(_("trace id"), null=True, editable=False)
    created_at = models.DateTimeField(_("created at"))
    started_at = models.DateTimeField(_("started at"), null=True, blank=True, help_text=_("First start."))
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    parent = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        verbose_name=_("parent"),
        null=True,
        blank=True,
        db_constraint=False,  # the composite key (tenant, parent) is in the migration
        db_index=False,
        related_name="children",
    )
    batch = models.ForeignKey(
        Batch,
        models.DO_NOTHING,
        verbose_name=_("batch"),
        null=True,
        blank=True,
        db_constraint=False,  # likewise (tenant, batch)
        db_index=False,
        related_name="jobs",
    )

    # Of a new job: the data that it is about. It is stored in a table of its own.
    subject: UUID | None = None
    narrowed_by: ClassVar[Mapping[str, str]] = {"queues": "queue", "kinds": "kind"}

    objects = JobManager()  # type: ignore[misc] # the base declares it as a ClassVar of its own row

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        constraints = [
            models.UniqueConstraint(fields=["tenant", "id"], name="job_tenant_id"),
            models.UniqueConstraint(
                fields=["tenant", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="job_idempotency_key",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "batch"], condition=Q(batch__isnull=False), name="job_batch"),
            models.Index(fields=["tenant", "parent"], condition=Q(parent__isnull=False), name="job_parent"),
            models.Index(
                fields=["concurrency_key", "tenant", "id"], condition=Q(concurrency_key__isnull=False), name="job_keyed"
            ),
            models.Index(fields=["trace_id", "tenant"], condition=Q(trace_id__isnull=False), name="job_trace"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_terminal(self) -> bool:
        """Return whether the job's state is final."""
        return JobState(self.state) in TERMINAL_STATES

    @property
    def started_attempts(self) -> int:
        """Return how many attempts have started; `attempt` counts those that failed."""
        return started_attempts(self.state, failed=self.attempt, has_started=self.started_at is not None)

    @property
    def mark(self) -> str:
        """Return a text that changes whenever a shown field of the job changes.

        The estimated start of a waiting job may change without it.
        """
        return ":".join(str(getattr(self, name)) for name in MARK_FIELDS)


# The columns that change, except those that only change together with one of these.
MARK_FIELDS = (
    *("id", "state", "queue_id", "priority", "attempt", "crash_count", "execution_count", "yield_count", "max_retries"),
    *("progress_current", "progress_total", "progress_message", "error_type", "error_fingerprint"),
    *("run_at", "deadline_at", "started_at", "finished_at", "batch_id"),
)


class WaitingRow(models.Model):
    """Base of a row that lists a waiting job in one of the waiting tables; deleted when the job leaves that table."""

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    entity_id = models.BigIntegerField()
    kind = models.CharField(max_length=64)
    rank = models.BigIntegerField()
    payload_bytes = models.IntegerField(db_default=0)  # an input of the cost prediction, as `used_us`
    used_us = models.BigIntegerField(db_default=0)

    objects = TenantManager()

    class Meta:
        abstract = True


class JobReady(WaitingRow):
    """A job that may be dispatched now; the primary key orders the jobs of each fair-share node."""

    pk = models.CompositePrimaryKey("entity_id", "rank", "job_id")
    job_id = models.UUIDField()
    merge_disabled = models.BooleanField(db_default=False)
    concurrency_key = models.CharField(max_length=MAX_JOB_KEY_CHARACTERS, null=True)

    class Meta:
        db_table = "scheduling_job_ready"
        indexes = [
            models.Index(
                fields=["tenant", "kind", "concurrency_key"],
                condition=Q(concurrency_key__isnull=False),
                name="job_ready_of_key",
            )
        ]


class JobDue(WaitingRow):
    """A job that becomes available at ``due_at``: scheduled or backing off."""

    job_id = models.UUIDField(primary_key=True)
    due_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_job_due"
        indexes = [models.Index(fields=["due_at"], name="job_due_at")]


class JobHeld(WaitingRow):
    """An available job that may not start for now, kept out of the ready table so that it does not block others.

    ``gate`` is the obstacle that a tick found: ``kind`` (its kind is paused), ``circuit`` with the id of an open
    breaker, ``memory`` with the id of a pool whose children are too small for it, or ``unknown`` with the id of a pool
    of which no live worker announces its kind. ``cap`` with the id of its queue: a tick has not yet admitted it under
    its concurrency key; new jobs with such a key begin there.
    """

    job_id = models.UUIDField(primary_key=True)
    merge_disabled = models.BooleanField(db_default=False)
    concurrency_key = models.CharField(max_length=MAX_JOB_KEY_CHARACTERS, null=True)
    gate = models.CharField(max_length=40, db_default="kind")

    class Meta:
        db_table = "scheduling_job_held"
        indexes = [
            models.Index(fields=["kind", "rank"], name="job_held_kind_rank"),
            models.Index(fields=["gate", "kind", "rank"], name="job_held_gate"),
            # Ordered by tenant: a shared breaker lets tenants probe in turn.
            models.Index(
                fields=["gate", "tenant", "rank"],
                condition=Q(gate__gte="circuit", gate__lt="kind"),
                name="job_held_behind",
            ),
            # The jobs of a key and queue in their order.
            models.Index(
                fields=["gate", "tenant", "kind", "concurrency_key", "rank", "job_id"],
                condition=Q(gate__lt="circuit"),
                name="job_held_for_key",
            ),
        ]


class JobSuspended(models.Model):
    """A suspended job; without this table, suspended jobs could not be counted by an index.

    ``is_own``: it suspended itself, and may be woken; otherwise a person suspended it, or it waits for its children.
    ``wake_at`` is when it continues at the latest.
    """

    job_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    is_own = models.BooleanField(db_default=False)
    wake_at = models.DateTimeField(null=True)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_job_suspended"
        indexes = [models.Index(fields=["wake_at"], condition=Q(wake_at__isnull=False), name="job_suspended_wake_at")]


class JobDeadline(models.Model):
    """A waiting or running job that is discarded at ``deadline_at``."""

    job_id = models.UUIDField(primary_key=True)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    deadline_at = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_job_deadline"
        indexes = [models.Index(fields=["deadline_at"], name="job_deadline_at")]
