"""Rows that ticks fold: news of lines, ended executions, and ended executions that could not be folded."""

from __future__ import annotations

from django.db import models

from tenants.tenancy.bases import TenantManager, TenantModel


class FoldedRow(models.Model):
    """Base of a row that the next tick of its queue's pool counts and deletes; such tables have no index."""

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_constraint=False)
    entity_id = models.BigIntegerField(primary_key=True)  # required by Django; neither unique nor a key
    queue_id = models.BigIntegerField()

    objects = TenantManager()

    class Meta:
        abstract = True
        managed = False  # the migration creates these tables without a primary key


class Wake(FoldedRow):
    """A change of an entity, which makes the next tick read the entity again before it picks jobs.

    ``waiting_delta`` is the change to the entity's number of waiting jobs.
    """

    waiting_delta = models.IntegerField()
    is_bulk = models.BooleanField(db_default=False, help_text="Part of a bulk of wakes: folded after the others.")

    class Meta(FoldedRow.Meta):
        abstract = False
        db_table = "scheduling_wake"


class Settled(FoldedRow):
    """The end of an execution, for the next tick: it corrects virtual times, and a message's last frees the slot."""

    message_id = models.UUIDField(null=True, help_text="Empty: its slot is already free; only its time is folded.")
    kind = models.CharField(max_length=64)
    predicted_us = models.BigIntegerField()
    whole_us = models.BigIntegerField(null=True)
    measured_us = models.BigIntegerField()
    weight_milli = models.PositiveIntegerField()
    queue_weight_milli = models.PositiveIntegerField()
    rate_milli = models.IntegerField(db_default=1000)
    is_sample = models.BooleanField(help_text="Whether the job's time trains the predictor.")
    payload_bytes = models.IntegerField()
    used_us = models.BigIntegerField(help_text="Slot time of the whole job so far, this execution's included.")
    peak_memory_kib = models.BigIntegerField(null=True)
    cpu_us = models.BigIntegerField(null=True)
    io_bytes = models.BigIntegerField(null=True)
    ended_at = models.DateTimeField(help_text="Determines the month of the measured time.")

    class Meta(FoldedRow.Meta):
        abstract = False
        db_table = "scheduling_settled"


class SettledRefused(TenantModel):
    """A settled row that no tick could count, with the error; the check `refused` reports it and puts it back."""

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    queue_id = models.BigIntegerField()
    measured_us = models.BigIntegerField()
    content = models.JSONField(help_text="The row of scheduling_settled.")
    error = models.TextField()
    refused_at = models.DateTimeField()

    class Meta:
        db_table = "scheduling_settled_refused"
        indexes = [models.Index(fields=["tenant", "id"], name="settled_refused_by_tenant")]

    def __str__(self) -> str:
        return self.error
