"""Worker pools, their workers and queues, and what the dispatcher stores about them."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Value
from django.utils.translation import gettext_lazy as _

from tenants.database.ids import uuid7
from tenants.tenancy.bases import PauseFacts
from tenants.tenancy.regions import REGION, REGION_LENGTH


class MemoryClass(models.IntegerChoices):
    """Memory in MiB that a job may need, and that each child process of a pool has; kinds name it in lower case."""

    SMALL = 256, _("small (256 MiB)")
    MEDIUM = 512, _("medium (512 MiB)")
    LARGE = 1024, _("large (1,024 MiB)")


class Resource(models.TextChoices):
    """What a pool may offer, and a queue or a kind may need."""

    CPU = "cpu", _("CPU")
    IO = "io", _("I/O")
    MEMORY = "memory", _("memory")
    GPU = "gpu", _("GPU")


def _resources(name: Any, **options: Any) -> ArrayField[Any, Any]:
    element = models.CharField(max_length=6, choices=Resource.choices)
    return ArrayField(element, verbose_name=name, blank=True, **options)


class WorkerPool(PauseFacts):
    """Group of workers that run the jobs of the pool's queues; every queue belongs to one pool."""

    class ResourceClass(models.TextChoices):
        CPU = "cpu", _("CPU")
        IO = "io", _("I/O")

    name = models.SlugField(_("name"), max_length=40, unique=True)
    description = models.CharField(_("description"), max_length=200, blank=True)
    region = models.CharField(
        _("region"),
        max_length=REGION_LENGTH,
        validators=[REGION],
        blank=True,
        default="",
        db_default="",
        help_text=_("Where its workers run; empty: unknown, so that tenants with allowed regions do not run here."),
    )
    memory_mib = models.PositiveIntegerField(
        _("memory class"),
        choices=MemoryClass.choices,
        default=MemoryClass.LARGE,
        db_default=MemoryClass.LARGE,
        help_text=_("Memory of each child; jobs of kinds that need more are not dispatched here."),
    )
    resource_class = models.CharField(
        _("resource class"),
        max_length=3,
        choices=ResourceClass.choices,
        default=ResourceClass.CPU,
        db_default=ResourceClass.CPU,
        help_text=_("An I/O pool runs asynchronous kinds as coroutines: its slots wait rather than compute."),
    )
    offers = _resources(
        _("offers"),
        db_default=[Resource.CPU.value, Resource.MEMORY.value],
        help_text=_("What its queues and their kinds may need; none: CPU and memory, or I/O, by the resource class."),
    )
    rate_milli = models.PositiveIntegerField(
        _("rate milli"),
        default=1000,
        db_default=1000,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Share of slot time that is charged, in thousandths."),
    )
    is_paused = models.BooleanField(_("is paused"), default=False)
    pause_reason = models.CharField(_("pause reason"), max_length=200, blank=True, default="")
    # What live workers announce (None: no worker has); what none announces and has waiting jobs, since when (epoch).
    kinds = models.JSONField(_("kinds"), null=True, editable=False)
    unknown_kinds = models.JSONField(
        _("unknown kinds"), default=dict, db_default=Value({}, models.JSONField()), editable=False
    )

    class Meta:
        verbose_name = _("worker pool")
        verbose_name_plural = _("worker pools")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def edited_values(self) -> list[object]:
        """Return what people edit: not what the dispatcher stores about its workers."""
        chosen = [self.memory_mib, self.resource_class, self.offers, self.rate_milli]
        return [self.description, self.region, *chosen, self.is_paused]


class PoolClock(models.Model):
    """State that the dispatcher keeps for a pool; it is separate from the settings that people edit."""

    pool = models.OneToOneField(WorkerPool, models.CASCADE, primary_key=True, related_name="clock")
    virtual_time = models.BigIntegerField(default=0)
    ticked_at = models.DateTimeField(null=True)
    picked_at = models.DateTimeField(null=True, help_text="When a tick last picked jobs.")
    tick_us = models.IntegerField(null=True, help_text="Smoothed time of the ticks that picked jobs.")
    broker_away_at = models.DateTimeField(null=True, help_text="Last report of a dispatcher; a tick clears it.")
    publish_failed_at = models.DateTimeField(
        null=True, help_text="When the broker last refused a message of this pool; no tick clears it."
    )
    publish_fault = models.CharField(max_length=200, blank=True, db_default="", default="")
    # By tenant id: since when another transaction holds rows of the tenant, when that was last seen (both epochs), by
    # which server process (None: unknown), and whether the tenant waits or only some of its jobs.
    locked_tenants = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), editable=False)

    class Meta:
        db_table = "scheduling_pool_clock"


class Worker(models.Model):
    """A registered worker, running or stopped: a parent process whose child processes run jobs."""

    class Status(models.TextChoices):
        ONLINE = "online", _("Online")
        DRAINING = "draining", _("Draining")
        STOPPING = "stopping", _("Stopping")
        STOPPED = "stopped", _("Stopped")

    id = models.UUIDField(_("id"), primary_key=True, default=uuid7, editable=False)
    pool = models.ForeignKey(WorkerPool, models.CASCADE, verbose_name=_("pool"), related_name="workers")
    hostname = models.CharField(_("hostname"), max_length=200)
    pid = models.PositiveIntegerField(_("pid"))
    slots = models.PositiveIntegerField(_("slots"))
    version = models.CharField(_("version"), max_length=40, blank=True)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ONLINE)
    started_at = models.DateTimeField(_("started at"))
    heartbeat_at = models.DateTimeField(_("heartbeat at"))
    stopped_at = models.DateTimeField(_("stopped at"), null=True, blank=True)
    stop_reason = models.CharField(_("stop reason"), max_length=40, blank=True, db_default="", default="")
    queues = models.JSONField(
        _("queues"),
        default=list,
        db_default=Value([], models.JSONField()),
        help_text=_("Names of the queues that it consumes."),
    )
    kinds = models.JSONField(
        _("kinds"),
        default=list,
        blank=True,
        db_default=Value([], models.JSONField()),
        help_text=_("Job kinds that it announces."),
    )
    canary_at = models.DateTimeField(
        _("canary at"), null=True, blank=True, help_text=_("When a child last answered a canary.")
    )
    clock_skew_seconds = models.FloatField(
        _("clock skew seconds"), null=True, blank=True, help_text=_("Its clock minus the database's.")
    )
    sandbox = models.JSONField(
        _("sandbox"),
        default=dict,
        blank=True,
        db_default=Value({}, models.JSONField()),
        help_text=_("Layers and protections of the extraction sandbox on its host, and the limits of its children."),
    )
    # Of its event loops, newest first; `scheduling.fleet.blocks` reads and writes them.
    blocks = models.JSONField(_("blocks"), default=list, db_default=Value([], models.JSONField()), editable=False)

    class Meta:
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ["-started_at"]

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"


class ProcessHeartbeat(models.Model):
    """Heartbeat of a dispatcher, beat or auditor process; workers store theirs in their own rows."""

    class Role(models.TextChoices):
        DISPATCHER = "dispatcher", _("Dispatcher")
        BEAT = "beat", _("Beat")
        AUDITOR = "auditor", _("Auditor")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    role = models.CharField(max_length=12, choices=Role.choices)
    hostname = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    clock_skew_seconds = models.FloatField(help_text="Its clock minus the database's.")

    class Meta:
        db_table = "scheduling_process_heartbeat"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.role} {self.hostname}:{self.pid}"


class Queue(PauseFacts):
    """Celery queue with a weight in its pool. The dispatcher, not Celery, decides the order of its jobs."""

    name = models.SlugField(_("name"), max_length=60, unique=True)
    description = models.CharField(_("description"), max_length=200, blank=True)
    pool = models.ForeignKey(WorkerPool, models.PROTECT, verbose_name=_("pool"), related_name="queues")
    weight = models.PositiveIntegerField(
        _("weight"),
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("Share of the pool beside its other queues, unless the active CFS plan overrides it."),
    )
    cap = models.PositiveIntegerField(
        _("cap"),
        null=True,
        blank=True,
        help_text=_("Maximum number of messages in flight; empty for no cap of its own."),
    )
    dispatches_per_minute = models.PositiveIntegerField(
        _("dispatches per minute"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(60_000_000)],
        help_text=_("Maximum number of dispatched jobs a minute; empty for no limit of its own."),
    )
    dispatch_burst = models.PositiveIntegerField(
        _("dispatch burst"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1_000_000)],
        help_text=_("Maximum burst of dispatched jobs; empty for the jobs of one second, at least two."),
    )
    needs = _resources(
        _("needs"),
        db_default=[Resource.CPU.value],
        help_text=_("What its pool must offer; none: the pool's resource class."),
    )
    expected_seconds = models.FloatField(
        _("expected seconds"),
        default=1.0,
        validators=[MinValueValidator(0.001), MaxValueValidator(86_400)],
        help_text=_("Cost assumed for a kind that has not run yet."),
    )
    is_paused = models.BooleanField(_("is paused"), default=False)
    pause_reason = models.CharField(_("pause reason"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class QueueClock(models.Model):
    """State that the dispatcher keeps for a queue; it is separate from the settings that people edit.

    ``vruntime`` is the queue's own virtual time among the queues of its pool. Inside the queue, ``virtual_time`` is the
    virtual time at which the last job was dispatched, and ``floor`` the least virtual time that a tenant can have.
    """

    queue = models.OneToOneField(Queue, models.CASCADE, primary_key=True, related_name="clock")
    vruntime = models.BigIntegerField(default=0)
    virtual_time = models.BigIntegerField(default=0)
    floor = models.BigIntegerField(default=0)
    was_backlogged = models.BooleanField(default=False)
    arrival_us = models.BigIntegerField(
        db_default=0, help_text="Theoretical arrival time of its rate, microseconds since 1970."
    )

    class Meta:
        db_table = "scheduling_queue_clock"


class QueueStanding(models.Model):
    """Load of a queue as last measured, about once a second.

    If ``unread_since`` is set, an alarm is on: the queue has work or routing rules, and no live worker consumes it.
    """

    queue = models.OneToOneField(Queue, models.CASCADE, primary_key=True, related_name="standing")
    work_us = models.BigIntegerField(default=0, help_text="Work that waits for its pool, if a rule balances by it.")
    slots = models.IntegerField(default=0, help_text="Slots of the live workers that consume it.")
    unread_since = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduling_queue_standing"

    def __str__(self) -> str:
        return f"{self.queue_id}: {self.slots} slots"
