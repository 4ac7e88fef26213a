"""Actions on selected rows of a list; each posts a reason and starts a bulk operation."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from scheduling.bulk.page import reason_words
from scheduling.bulk.starting import start_bulk_operation
from scheduling.jobs.filters import JobFilter
from scheduling.models import BulkOperation
from tenants.console.post_actions import read_reason as reason_of
from tenants.exceptions import DomainError

__all__ = ["reason_of"]


# Default reason.
TICKED = "Selected in the console."


def act_on_selected(request: HttpRequest, operation: str, jobs: Sequence[tuple[UUID, str]]) -> None:
    """Start a bulk operation on these jobs (id and tenant slug), and show its counts with a link to its page.

    If all jobs belong to one tenant, the operation belongs to that tenant.
    """
    if not jobs:
        return
    slugs = list({slug for _job_id, slug in jobs})
    chosen = JobFilter.of(id=[job_id for job_id, _slug in jobs], tenant=slugs if len(slugs) == 1 else None)
    try:
        row = start_bulk_operation(
            filter_text=chosen.text,
            operation=operation,
            parameters={},
            reason=reason_of(request) or TICKED,
            number=len(jobs),
            takes_first_turn=True,
        )
    except DomainError as refusal:
        messages.error(request, refusal.detail)
        return
    _show(request, row)


def _show(request: HttpRequest, row: BulkOperation) -> None:
    page = reverse("admin:scheduling_bulkoperation_change", args=[row.pk])
    words = _("%(changed)s of %(count)s jobs changed.") % {"changed": row.changed, "count": row.expected}
    level = messages.SUCCESS if row.changed else messages.WARNING
    link = format_html('{} <a class="console-link" href="{}">{}</a>', words, page, _("Show the bulk operation"))
    messages.add_message(request, level, link)
    for reason, count in sorted(row.ineligible.items()):
        values = {"count": count, "reason": reason_words(reason)}
        messages.warning(request, _("%(count)s not changed: %(reason)s") % values)
    if row.is_open:
        messages.warning(
            request, _("A limit of the tenant is reached. The other jobs follow when the limit allows it.")
        )
