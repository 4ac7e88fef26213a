"""Chainable filters on jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from scheduling.jobs.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, WAITING_STATES
from tenants.tenancy.bases import TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from scheduling.models import Job  # noqa: F401 - named as a string in the base class below


class JobQuerySet(TenantQuerySet["Job"]):
    """Filters named like the console's words."""

    def waiting(self) -> Self:
        return self.filter(state__in=sorted(WAITING_STATES))

    def in_flight(self) -> Self:
        return self.filter(state__in=sorted(IN_FLIGHT_STATES))

    def finished(self) -> Self:
        return self.filter(state__in=sorted(TERMINAL_STATES))

    def newest_first(self) -> Self:
        """Order by UUIDv7 id, which is the time of submission, along the tenant's own index."""
        return self.order_by("-id")


JobManager = TenantManager.from_queryset(JobQuerySet)
