"""Reasons of a wait that lie with the tenant: stops, caps, regions, and limits of its plan."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext

from scheduling.dispatch.memory_room import need_of
from scheduling.jobs.waits.start_conditions import StartConditions
from scheduling.jobs.waits.waiting_reason import WaitingReason, shown_time, stopped
from scheduling.limits.declared import CPU_SECONDS, IO_MIB
from scheduling.models import Job
from tenants.limits.declared import format_moment, get_limit, month_end

# The reason of a wait for each limit of resources.
_USED_UP = {CPU_SECONDS.key: "cpu_seconds_used_up", IO_MIB.key: "io_used_up"}


def tenant_reasons(standing: StartConditions) -> Iterator[WaitingReason]:
    """Yield the reasons that concern all jobs of its tenant in this queue."""
    yield from stopped("tenant_suspended", gettext("The tenant is suspended"), standing.suspension)
    yield from stopped("tenant_paused", gettext("The tenant's work is paused"), standing.tenant_pause)
    if standing.locked_since is not None:
        detail = gettext("The tenant's rows have been locked by another transaction since %(moment)s.") % {
            "moment": shown_time(standing.locked_since)
        }
        yield WaitingReason("rows_locked", detail)
    if standing.tenant_in_flight >= standing.tenant_cap:
        values = {"running": standing.tenant_in_flight, "cap": standing.tenant_cap}
        detail = gettext("The tenant is at its cap: %(running)s of %(cap)s jobs in flight.") % values
        yield WaitingReason("tenant_cap_reached", detail, is_stop=standing.tenant_cap == 0)
    if standing.allowed_regions and standing.region not in standing.allowed_regions:
        regions = {"region": standing.region or gettext("none"), "allowed": ", ".join(standing.allowed_regions)}
        detail = gettext(
            "The tenant's jobs may run in %(allowed)s only, and the workers of this queue are in the region "
            "%(region)s. Move the job to a queue of an allowed region."
        )
        yield WaitingReason("region_not_allowed", detail % regions)
    if standing.data_regions and standing.region not in standing.data_regions:
        regions = {"region": standing.region or gettext("none"), "allowed": ", ".join(standing.data_regions)}
        detail = gettext(
            "Jobs about its data may run in %(allowed)s only, and the workers of this queue are in the region "
            "%(region)s. Move the job to a queue of an allowed region."
        )
        yield WaitingReason("region_not_allowed", detail % regions)
    if not standing.has_worker_time:
        ends = month_end(standing.now)
        used_up = {"seconds": f"{standing.worker_seconds or 0:,}", "until": format_moment(ends)}
        detail = gettext("The tenant's %(seconds)s s of worker time are used up until %(until)s.") % used_up
        yield WaitingReason("worker_seconds_used_up", detail, ends)
    if standing.used_up is not None:
        ends = month_end(standing.now)
        facts = {"title": gettext(get_limit(standing.used_up).title), "until": format_moment(ends)}
        detail = gettext("The tenant's limit is used up until %(until)s: %(title)s.") % facts
        yield WaitingReason(_USED_UP[standing.used_up], detail, ends)


def memory_reasons(job: Job, standing: StartConditions) -> Iterator[WaitingReason]:
    """Yield the reason if the limit of memory of its tenant has no room for it."""
    need, limit = need_of(job.kind), standing.memory_limit_mib
    if limit is None or standing.memory_in_use_mib + need <= limit:
        return
    values = {"need": f"{need:,}", "used": f"{standing.memory_in_use_mib:,}", "limit": f"{limit:,}"}
    detail = gettext("It may need %(need)s MiB; the tenant's running jobs may need %(used)s of %(limit)s MiB.")
    yield WaitingReason("memory_in_use", detail % values, is_stop=need > limit)
