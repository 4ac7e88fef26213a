"""Chainable filters for querysets of jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from scheduling.jobs.lifecycle import IN_FLIGHT_STATES, TERMINAL_STATES, WAITING_STATES
from tenants.tenancy.bases import TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from scheduling.models import Job  # noqa: F401 - named as a string in the base class below


class JobQuerySet(TenantQuerySet["Job"]):
    """A queryset of jobs with filters named as the console names them: waiting, in flight, finished."""

    def waiting(self) -> Self:
        return self.filter(state__in=sorted(WAITING_STATES))

    def in_flight(self) -> Self:
        return self.filter(state__in=sorted(IN_FLIGHT_STATES))

    def finished(self) -> Self:
        return self.filter(state__in=sorted(TERMINAL_STATES))

    def newest_first(self) -> Self:
        """Order by UUIDv7 id, which is the order of submission, using the index of each tenant's jobs."""
        return self.order_by("-id")


JobManager = TenantManager.from_queryset(JobQuerySet)
