"""Tables of concurrency keys and of unique keys. Jobs without keys have no rows in them."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from tenants.tenancy.bases import TenantManager

MAX_JOB_KEY_CHARACTERS = 200


class UniqueUntil(models.TextChoices):
    """The event that frees a job's unique key."""

    STARTED = "started", _("started")
    ENDED = "ended", _("ended")


class KeyRow(models.Model):
    """Base of a row of a key, which belongs to one tenant and kind."""

    tenant = models.ForeignKey("tenants.Tenant", models.DO_NOTHING, db_index=False, db_constraint=False)
    kind = models.CharField(max_length=64)

    objects = TenantManager()

    class Meta:
        abstract = True


class ConcurrencyKey(KeyRow):
    """The number of jobs in flight of one concurrency key of a tenant and kind; no row means none.

    Only ticks write it: a claim adds the jobs that it dispatches, within the kind's ``concurrency_limit``, and a later
    tick subtracts those that ended.
    """

    pk = models.CompositePrimaryKey("tenant_id", "kind", "concurrency_key")
    concurrency_key = models.CharField(max_length=MAX_JOB_KEY_CHARACTERS)
    in_flight = models.IntegerField()

    class Meta:
        db_table = "scheduling_concurrency_key"


class ConcurrencyKeyNews(KeyRow):
    """A change of a concurrency key, which makes the next tick admit jobs that wait for the key.

    ``ended`` jobs of the key are no longer in flight. The table has no index, because each tick empties it.
    """

    concurrency_key = models.CharField(max_length=MAX_JOB_KEY_CHARACTERS, primary_key=True)  # required by Django
    ended = models.IntegerField()

    class Meta:
        db_table = "scheduling_concurrency_key_news"
        managed = False  # the migration creates it without a primary key


class UniqueKey(KeyRow):
    """A unique key of a tenant and kind, and the job that has it until it starts or ends."""

    job_id = models.UUIDField(primary_key=True)
    unique_key = models.CharField(max_length=MAX_JOB_KEY_CHARACTERS)

    class Meta:
        db_table = "scheduling_unique_key"
        constraints = [models.UniqueConstraint(fields=["tenant", "kind", "unique_key"], name="unique_key_once")]
