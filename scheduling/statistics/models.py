"""Rows of statistics: gauges of the load in each minute, and rollups of ended executions by minute and hour."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantManager


class GaugeRow(models.Model):
    """Base of gauges: numbers of waiting jobs and jobs in flight. Jobs in one message share its slot equally."""

    minute = models.DateTimeField()
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)
    waiting = models.IntegerField(default=0, help_text="Ready, due and held jobs.")
    oldest_at = models.DateTimeField(null=True, help_text="Time since which the longest-waiting ready job may run.")
    backing_off = models.IntegerField(default=0, help_text="Jobs in backoff, among the soonest.")
    due = models.IntegerField(default=0, help_text="Those of them that are due.")
    next_due_at = models.DateTimeField(null=True)
    dispatched = models.IntegerField(default=0, help_text="Dispatched and not started.")
    executing = models.IntegerField(default=0)
    slots_milli = models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")
    sampled_at = models.DateTimeField()

    class Meta:
        abstract = True


class QueueGauge(GaugeRow):
    """Numbers of jobs in one queue, as last sampled in one minute."""

    pk = models.CompositePrimaryKey("minute", "queue_id")

    class Meta:
        db_table = "scheduling_queue_gauge"


class TenantGauge(GaugeRow):
    """Numbers of one tenant's jobs in one queue; sampled only for tenants with jobs in flight or the longest waits."""

    pk = models.CompositePrimaryKey("tenant_id", "minute", "queue_id")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    busy_us = models.BigIntegerField(default=0, help_text="Slot time of running jobs, within the last ten minutes.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_tenant_gauge"
        indexes = [models.Index(fields=["minute"], name="tenant_gauge_by_time")]


class PoolGauge(models.Model):
    """Slots of the live workers of one pool, and the slots in use, as last sampled in one minute."""

    pk = models.CompositePrimaryKey("minute", "pool_id")
    minute = models.DateTimeField()
    pool = models.ForeignKey("scheduling.WorkerPool", models.DO_NOTHING, db_index=False, db_constraint=False)
    slots = models.IntegerField(default=0)
    slots_milli = models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")
    sampled_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_pool_gauge"


class WorkerMinute(models.Model):
    """Load of one worker in one minute, added up by its heartbeats."""

    pk = models.CompositePrimaryKey("worker_id", "minute")
    worker = models.ForeignKey("scheduling.Worker", models.DO_NOTHING, db_index=False, db_constraint=False)
    minute = models.DateTimeField()
    heartbeats = models.IntegerField(default=0)
    busy = models.IntegerField(default=0, help_text="Slots in use, summed over the heartbeats.")
    memory_kib = models.BigIntegerField(default=0, help_text="Most resident memory of its processes together.")
    begun = models.IntegerField(default=0, help_text="Executions that began.")

    class Meta:
        db_table = "scheduling_worker_minute"
        indexes = [models.Index(fields=["minute"], name="worker_minute_by_time")]


class Tally(models.Model):
    """Ended execution that the rollups do not count yet.

    With an empty ``outcome`` it is a dead letter without an execution.
    """

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_constraint=False)
    queue_id = models.BigIntegerField(primary_key=True)  # required by Django; not unique, not a key
    kind = models.CharField(max_length=64)
    outcome = models.CharField(max_length=12)
    is_dead = models.BooleanField()
    wait_us = models.BigIntegerField(null=True, help_text="Time from when the job may run to its first start.")
    started_at = models.DateTimeField(null=True)
    measured_us = models.BigIntegerField()
    ended_at = models.DateTimeField()
    worker_id = models.UUIDField(null=True)
    result_bytes = models.IntegerField(null=True)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_tally"
        managed = False  # the migration creates the table without a primary key


class EndedRow(models.Model):
    """Base of rollups of ended executions.

    ``busy_us`` is the slot time within the row's time, also of executions that ended later.
    """

    completed = models.IntegerField(default=0)
    failed = models.IntegerField(
        default=0, help_text="Failures of the jobs themselves: failed, timed out, crashed, expired."
    )
    dead_letters = models.IntegerField(default=0)
    busy_us = models.BigIntegerField(default=0)
    wait = ArrayField(models.IntegerField(), help_text="Histogram of waits until the first start.")
    run = ArrayField(models.IntegerField(), help_text="Histogram of slot times of completed and failed executions.")

    class Meta:
        abstract = True


class MinuteRow(EndedRow):
    """Base of the rollups of one queue in one minute."""

    minute = models.DateTimeField()
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)

    class Meta:
        abstract = True


class QueueMinute(MinuteRow):
    """Rollup of the executions of one queue in one minute."""

    pk = models.CompositePrimaryKey("minute", "queue_id")

    class Meta:
        db_table = "scheduling_queue_minute"


class TenantMinute(MinuteRow):
    """Rollup of one tenant's executions in one queue in one minute."""

    pk = models.CompositePrimaryKey("tenant_id", "minute", "queue_id")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_tenant_minute"
        indexes = [
            models.Index(fields=["minute"], name="tenant_minute_by_time"),
            # Covers reads of a day of shares: the rows are wide, and those of a tenant far apart.
            models.Index(fields=["tenant", "minute"], include=["queue", "busy_us"], name="tenant_minute_busy"),
        ]


class KindMinute(MinuteRow):
    """Rollup of one tenant's executions of one kind in one queue in one minute."""

    pk = models.CompositePrimaryKey("tenant_id", "minute", "kind", "queue_id")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=64)
    result_bytes = models.BigIntegerField(db_default=0, help_text="Sum of the sizes of stored results.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_kind_minute"
        indexes = [models.Index(fields=["minute"], name="kind_minute_by_time")]


class SeriesTally(models.Model):
    """Counts that a fold has added to the minutes of kinds, and that the hours of series do not have yet."""

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_constraint=False)
    queue_id = models.BigIntegerField(primary_key=True)  # required by Django; not unique, not a key
    kind = models.CharField(max_length=64)
    minute = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_series_tally"
        managed = False  # the migration creates the table without a primary key, with the columns of MinuteRow


class SeriesHour(EndedRow):
    """Rollup of one kind, queue, tenant or worker in one hour.

    With ``tenant`` it covers the executions of that tenant, without it those of all. The name of a tenant or worker is
    its id.
    """

    class Scope(models.TextChoices):
        KIND = "kind", _("Kind")
        QUEUE = "queue", _("Queue")
        TENANT = "tenant", _("Tenant")
        WORKER = "worker", _("Worker")

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, null=True, db_index=False, db_constraint=False)
    name = models.CharField(max_length=64)
    hour = models.DateTimeField()

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_series_hour"
        indexes = [models.Index(fields=["hour"], name="series_hour_by_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["scope", "tenant", "hour", "name"], nulls_distinct=False, name="series_hour_once"
            )
        ]


class ShareMinute(models.Model):
    """Entitlement of one tenant in one queue in one minute, which a dispatcher samples every few seconds.

    Only the tenants with the greatest entitlements have rows, which bounds their number.
    """

    pk = models.CompositePrimaryKey("tenant_id", "minute", "queue_id")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    minute = models.DateTimeField()
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)
    entitled_us = models.BigIntegerField(help_text="Slot time that it was entitled to within the minute.")
    backlogged_us = models.BigIntegerField(help_text="Part of the minute in which it was backlogged.")
    lag_us = models.BigIntegerField(null=True, help_text="Lag behind its ideal share when it was last backlogged.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_share_minute"
        indexes = [models.Index(fields=["minute"], name="share_minute_by_time")]


class RollupClock(models.Model):
    """Times of the last fold of ended executions and of the last sample of shares; a table of one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    folded_at = models.DateTimeField(null=True)
    shares_sampled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduling_rollup_clock"
