"""Links from failures to the dead letters of a cause, and to the form that requeues them."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import reverse
from django.utils.http import urlencode

from scheduling.jobs.filters import JobFilter
from scheduling.jobs.filters.fields import NO
from scheduling.models import BulkOperation
from tenants.access.caller import Access
from tenants.access.permissions import Permission


def cause_of(kinds: Sequence[str], fingerprint: str) -> JobFilter:
    """Return the filter for the dead letters of a cause that have not been requeued; it names the kind if it is one."""
    return JobFilter.of(kind=kinds[0] if len(kinds) == 1 else None, fingerprint=fingerprint, requeued=NO)


def requeue_all_url(access: Access, letters: JobFilter) -> str:
    """Return the URL of the form that requeues all dead letters of a filter, or "" if the user may not do so."""
    if not (access.may(Permission.JOBS_RETRY) and access.may(Permission.JOBS_BULK)):
        return ""
    query = urlencode({"operation": BulkOperation.Operation.REQUEUE.value, "filter": letters.text})
    return f"{reverse('admin:scheduling_bulkoperation_start')}?{query}"


def list_url(kinds: Sequence[str], fingerprint: str) -> str:
    """Return the URL of the list of the dead letters of a cause that have not been requeued."""
    kind = kinds[0] if len(kinds) == 1 else ""
    query = urlencode({"requeued": NO, **{name: text for name, text in (("kind", kind), ("q", fingerprint)) if text}})
    return f"{reverse('admin:scheduling_deadletter_changelist')}?{query}"
