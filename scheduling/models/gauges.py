"""How things stood at the end of each minute, sampled by a dispatcher, so that no page asks the jobs.

The row of the running minute is written over every few seconds: it says how things stand now.
"""

from __future__ import annotations

from django.db import models

from tenants.managers import TenantManager


class GaugeRow(models.Model):
    """What waits and what is in flight. Jobs that share a message hold equal parts of its slot."""

    minute = models.DateTimeField()
    queue = models.ForeignKey("scheduling.Queue", models.DO_NOTHING, db_index=False, db_constraint=False)
    waiting = models.IntegerField(default=0, help_text="Ready, due and held jobs.")
    oldest_at = models.DateTimeField(null=True, help_text="Since when the longest-waiting ready job might run.")
    backing_off = models.IntegerField(default=0, help_text="Of the soonest: those that wait for another attempt.")
    due = models.IntegerField(default=0, help_text="Of these, those whose time has come.")
    next_due_at = models.DateTimeField(null=True)
    dispatched = models.IntegerField(default=0, help_text="Handed out and not begun.")
    executing = models.IntegerField(default=0)
    slots_milli = models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")
    sampled_at = models.DateTimeField()

    class Meta:
        abstract = True


class QueueGauge(GaugeRow):
    """One queue at the end of one minute."""

    pk = models.CompositePrimaryKey("minute", "queue_id")

    class Meta:
        db_table = "scheduling_queue_gauge"


class TenantGauge(GaugeRow):
    """One tenant in one queue: of all that have something in flight, and of those that wait longest."""

    pk = models.CompositePrimaryKey("tenant_id", "minute", "queue_id")
    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    busy_us = models.BigIntegerField(default=0, help_text="Slot time of what runs, within the last ten minutes.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_tenant_gauge"
        indexes = [models.Index(fields=["minute"], name="tenant_gauge_by_time")]


class PoolGauge(models.Model):
    """One pool at the end of one minute: the slots of its live workers, and how many of them are in use."""

    pk = models.CompositePrimaryKey("minute", "pool_id")
    minute = models.DateTimeField()
    pool = models.ForeignKey("scheduling.WorkerPool", models.DO_NOTHING, db_index=False, db_constraint=False)
    slots = models.IntegerField(default=0)
    slots_milli = models.BigIntegerField(default=0, help_text="Slots in use, in thousandths.")
    sampled_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_pool_gauge"
