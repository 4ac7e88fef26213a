"""Dispatches of jobs to workers: executions in flight, and the append-only history and ledger.

``JobEvent``, ``Charge`` and ``Execution`` are partitioned by their UUIDv7 id and have no foreign keys: these would cost
a quarter of the throughput, and the check ``ledger`` finds orphans.
"""

from __future__ import annotations

from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.utils.translation import gettext_lazy as _

from scheduling.jobs.job_keys.models import MAX_JOB_KEY_CHARACTERS
from scheduling.jobs.models import STATE_CHOICES, Job
from tenants.encryption.error_texts import SealedErrorField
from tenants.encryption.fields import SealedJSONField
from tenants.tenancy.bases import TenantModel


class HistoryRow(TenantModel):
    """Base of a row about a job that is written once; its tenant and job are not foreign keys in the database."""

    tenant = models.ForeignKey(
        "tenants.Tenant", models.DO_NOTHING, verbose_name=_("tenant"), db_index=False, db_constraint=False
    )
    job = models.ForeignKey(
        Job, models.DO_NOTHING, verbose_name=_("job"), db_index=False, db_constraint=False, related_name="%(class)ss"
    )

    class Meta:
        abstract = True


class LiveExecution(TenantModel):
    """An execution in flight: dispatched, perhaps held or started, not yet settled.

    A child holds all executions of its message: they have its worker, lease and ``hold_id``. Those of a merged message
    begin at once, those of a list one by one: until then they keep the fence of their dispatch, under which a
    settlement returns only what has not begun.

    One composite foreign key ensures that its job exists and has the same tenant, and with it the tenant and the queue
    of the job. A key to each would add three look-ups and three locks to every dispatch.
    """

    class Phase(models.TextChoices):
        DISPATCHED = "dispatched", _("Dispatched")
        HELD = "held", _("Held by a worker, not begun")
        EXECUTING = "executing", _("Executing")

    tenant = models.ForeignKey(
        "tenants.Tenant", models.DO_NOTHING, verbose_name=_("tenant"), db_index=False, db_constraint=False
    )
    job = models.OneToOneField(
        Job, models.DO_NOTHING, verbose_name=_("job"), db_constraint=False, related_name="live_execution"
    )
    entity_id = models.BigIntegerField(_("entity id"))
    queue = models.ForeignKey(
        "scheduling.Queue", models.DO_NOTHING, verbose_name=_("queue"), db_index=False, db_constraint=False
    )
    pool = models.ForeignKey(
        "scheduling.WorkerPool", models.DO_NOTHING, verbose_name=_("pool"), db_index=False, db_constraint=False
    )
    kind = models.CharField(_("kind"), max_length=64)
    number = models.PositiveIntegerField(_("number"), help_text=_("Number of this dispatch of the job, from 1."))
    # Without a value it is a message of its own.
    message_id = models.UUIDField(
        _("message id"),
        db_default=RandomUUID(),
        help_text=_("The message that contains it; small jobs share one, and its slot."),
    )
    token = models.UUIDField(_("token"), help_text=_("Dispatch token; only the latest message contains it."))
    fence = models.BigIntegerField(_("fence"), default=0)
    predicted_us = models.BigIntegerField(_("predicted us"), help_text=_("Charged at dispatch, corrected at the end."))
    whole_us = models.BigIntegerField(
        _("whole us"), null=True, help_text=_("Predicted for the whole job, if it differs from the charge.")
    )
    weight_milli = models.PositiveIntegerField(
        _("weight milli"), help_text=_("The tenant's weight when this was charged.")
    )
    queue_weight_milli = models.PositiveIntegerField(
        _("queue weight milli"), help_text=_("The queue's weight when this was charged.")
    )
    rate_milli = models.IntegerField(_("rate milli"), db_default=1000, help_text=_("The pool's rate at dispatch."))
    dispatched_at = models.DateTimeField(_("dispatched at"))
    published_at = models.DateTimeField(_("published at"))
    started_at = models.DateTimeField(_("started at"), null=True)
    worker_id = models.UUIDField(_("worker id"), null=True)
    hold_id = models.UUIDField(_("hold id"), null=True, help_text=_("The receipt of its message by a worker's child."))
    is_list = models.BooleanField(
        _("is list"),
        db_default=False,
        help_text=_("Whether the executions of its message begin and end one by one, instead of all together."),
    )
    lease_expires_at = models.DateTimeField(_("lease expires at"), null=True)
    concurrency_key = models.CharField(_("concurrency key"), max_length=MAX_JOB_KEY_CHARACTERS, null=True)
    cancel_requested_at = models.DateTimeField(_("cancel requested at"), null=True)
    yield_requested_at = models.DateTimeField(
        _("yield requested at"),
        null=True,
        help_text=_("Its time slice is used up, and a job with less virtual time waits for the slot."),
    )
    wake_requested_at = models.DateTimeField(
        _("wake requested at"),
        null=True,
        help_text=_("The event that it is about to wait for has come: it continues instead of being suspended."),
    )

    class Meta:
        verbose_name = _("live execution")
        verbose_name_plural = _("live executions")
        db_table = "scheduling_execution_live"

    @property
    def phase(self) -> str:
        """Return ``dispatched`` until a worker has its message, ``held`` until it begins, then ``executing``."""
        return self.Phase.EXECUTING if self.started_at else self.Phase.HELD if self.hold_id else self.Phase.DISPATCHED

    @property
    def expected_us(self) -> int:
        """Return the predicted slot time of the execution in microseconds."""
        return self.predicted_us if self.whole_us is None else self.whole_us


class Execution(HistoryRow):
    """An ended execution, with its cost."""

    class Outcome(models.TextChoices):
        COMPLETED = "completed", _("Completed")
        FAILED = "failed", _("Failed")
        TIMED_OUT = "timed_out", _("Timed Out")
        YIELDED = "yielded", _("Yielded")
        SHUTDOWN = "shutdown", _("Shutdown")
        CRASHED = "crashed", _("Crashed")
        CANCELLED = "cancelled", _("Cancelled")
        EXPIRED = "expired", _("Expired")
        UNPUBLISHED = "unpublished", _("Unpublished")
        RETURNED = "returned", _("Returned")
        SNOOZED = "snoozed", _("Snoozed")
        PUT_OFF = "put_off", _("Put Off")

    queue = models.ForeignKey(
        "scheduling.Queue", models.DO_NOTHING, verbose_name=_("queue"), db_index=False, db_constraint=False
    )
    kind = models.CharField(_("kind"), max_length=64)
    number = models.PositiveIntegerField(_("number"))
    fence = models.BigIntegerField(_("fence"))
    worker_id = models.UUIDField(_("worker id"), null=True)
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices)
    predicted_us = models.BigIntegerField(_("predicted us"))
    measured_us = models.BigIntegerField(_("measured us"), help_text=_("Slot time from start to end, microseconds."))
    rate_milli = models.IntegerField(_("rate milli"), db_default=1000, help_text=_("The rate of its charges."))
    peak_memory_kib = models.BigIntegerField(
        _("peak memory kib"), null=True, help_text=_("Peak resident memory of its process, KiB; empty if unknown.")
    )
    cpu_us = models.BigIntegerField(_("cpu us"), null=True, help_text=_("Processor time; empty if unknown."))
    io_bytes = models.BigIntegerField(_("io bytes"), null=True, help_text=_("To and from storage; empty if unknown."))
    dispatched_at = models.DateTimeField(_("dispatched at"))
    started_at = models.DateTimeField(_("started at"), null=True)
    ended_at = models.DateTimeField(_("ended at"))
    wait_us = models.BigIntegerField(_("wait us"), null=True, help_text=_("Until the first start of its job."))
    error_type = models.CharField(_("error type"), max_length=100, blank=True)
    error_message = SealedErrorField(_("error message"), blank=True, owner="job_id")
    traceback = SealedErrorField(_("traceback"), blank=True, owner="job_id", part="traceback")

    class Meta:
        verbose_name = _("execution")
        verbose_name_plural = _("executions")
        indexes = [
            models.Index(fields=["tenant", "job"], name="execution_job"),
            models.Index(fields=["tenant", "-id"], name="execution_by_tenant"),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.outcome}"


class JobEvent(HistoryRow):
    """One change of one job: its name, the time by the database's clock, and the actor.

    ``at`` is when the statement began, not the transaction: a tick may begin, wait for a lock, and dispatch a job that
    was submitted meanwhile. Events of a job are ordered by ``position``, which comes from a sequence while the job is
    locked, and not by a clock.
    """

    execution_id = models.UUIDField(_("execution id"), null=True)
    at = models.DateTimeField(_("at"))
    name = models.CharField(_("name"), max_length=40)
    state = models.CharField(_("state"), max_length=12, choices=STATE_CHOICES)
    actor = models.CharField(_("actor"), max_length=200)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    data = SealedJSONField(_("data"), default=dict)

    class Meta:
        verbose_name = _("job event")
        verbose_name_plural = _("job events")
        indexes = [models.Index(fields=["tenant", "job"], name="job_event_job")]

    def __str__(self) -> str:
        return self.name


class Charge(HistoryRow):
    """One entry of the ledger, in integer microseconds of slot time at the rate of its pool.

    A corrected one has what the execution used beside it.
    """

    class Reason(models.TextChoices):
        PREDICTED = "predicted", _("predicted at dispatch")
        SLICE = "slice", _("further time slice")
        CORRECTED = "corrected", _("corrected to the measured time")
        CLOSING = "closing", _("balance of pruned rows")

    # A closing row stands for pruned charges and executions, and belongs to no job.
    job = models.ForeignKey(  # type: ignore[assignment] # the base says that every row has one
        Job,
        models.DO_NOTHING,
        verbose_name=_("job"),
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="charges",
    )
    execution_id = models.UUIDField(_("execution id"), null=True)
    queue = models.ForeignKey(
        "scheduling.Queue", models.DO_NOTHING, verbose_name=_("queue"), null=True, db_index=False, db_constraint=False
    )
    reason = models.CharField(_("reason"), max_length=10, choices=Reason.choices)
    microseconds = models.BigIntegerField(_("microseconds"))
    at = models.DateTimeField(_("at"))
    cpu_us = models.BigIntegerField(_("cpu us"), null=True)
    peak_memory_kib = models.BigIntegerField(_("peak memory kib"), null=True)
    io_bytes = models.BigIntegerField(_("io bytes"), null=True)

    class Meta:
        verbose_name = _("charge")
        verbose_name_plural = _("charges")
        indexes = [models.Index(fields=["tenant", "id"], name="charge_by_tenant")]

    def __str__(self) -> str:
        return f"{self.microseconds} µs {self.reason}"
