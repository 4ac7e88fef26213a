"""Progress of the delivery of job events to subscribers."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.models.functions import Now

from tenants.tenancy.bases import TenantManager

NOTHING = UUID(int=0)
ALL = UUID(int=2**128 - 1)


class EventRelay(models.Model):
    """Progress of the deliveries: one row for all tenants, and one more for each tenant that is behind.

    All events of transactions below `settled` are delivered. Those of transactions from `settled` to below `until`,
    which have all ended, are being delivered in the order of event ids and then of subscribers.
    """

    tenant = models.ForeignKey("tenants.Tenant", models.CASCADE, null=True, db_index=False, related_name="+")
    settled = models.BigIntegerField()
    until = models.BigIntegerField(null=True, help_text="Empty while nothing is being delivered.")
    event_id = models.UUIDField(default=NOTHING, help_text="The last delivered event of these.")
    target_id = models.UUIDField(default=NOTHING, help_text="Its last subscriber with a delivery.")
    since = models.DateTimeField(help_text="Lower bound of the times of undelivered events.")
    due_at = models.DateTimeField(db_default=Now(), help_text="When delivery to a tenant that is behind continues.")

    objects = TenantManager()

    class Meta:
        db_table = "scheduling_event_relay"
        constraints = [
            models.UniqueConstraint(fields=["tenant"], nulls_distinct=False, name="event_relay_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.settled}…{self.until or ''}"
