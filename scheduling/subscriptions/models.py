"""How far what happens to jobs has been told to those who subscribed to it."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models.functions import Now

from tenants.tenancy.bases import TenantManager

NOTHING = UUID(int=0)
ALL = UUID(int=2**128 - 1)


class EventRelay(models.Model):
    """How far the subscriptions of all tenants are told, or, of a row with a tenant, those of one that is behind.

    What was written by transactions before `settled` is told. What those from there to `until` wrote, none of which is
    still open, is being told in the order of the events' ids, and of one event in the order of its subscribers.
    """

    tenant = models.ForeignKey("tenants.Tenant", models.CASCADE, null=True, db_index=False, related_name="+")
    settled = models.BigIntegerField()
    until = models.BigIntegerField(null=True, help_text="Empty while nothing is being told.")
    event_id = models.UUIDField(default=NOTHING, help_text="The last event that was told of these.")
    target_id = models.UUIDField(default=NOTHING, help_text="Its subscriber that was told last.")
    since = models.DateTimeField(help_text="No event that is still to be told was written before.")
    due_at = models.DateTimeField(db_default=Now(), help_text="When a tenant that is behind goes on.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_event_relay"
        constraints = [
            models.UniqueConstraint(fields=["tenant"], nulls_distinct=False, name="event_relay_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.settled}…{self.until or ''}"
