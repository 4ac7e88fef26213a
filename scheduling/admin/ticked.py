"""Acts on the rows that were ticked in a list: a bulk operation whose first turn is taken at once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from scheduling.admin.reasons import reason_of
from scheduling.dashboards.bulk import reason_words
from scheduling.filters import JobFilter
from scheduling.models import BulkOperation
from scheduling.services.bulk.starting import start_bulk_operation
from tenants.exceptions import DomainError

# The reason of an act without one.
TICKED = "Selected in the console."


def act_on_ticked(request: HttpRequest, operation: str, jobs: Sequence[tuple[UUID, str]]) -> None:
    """Start an operation on jobs given by id and slug of tenant, and show its counts with a link to its page.

    The jobs of one tenant make an operation of that tenant.
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
    link = format_html('{} <a class="console-link" href="{}">{}</a>', words, page, _("To the bulk operation"))
    messages.add_message(request, level, link)
    for reason, count in sorted(row.ineligible.items()):
        values = {"count": count, "reason": reason_words(reason)}
        messages.warning(request, _("%(count)s not changed: %(reason)s") % values)
    if row.is_open:
        messages.warning(request, _("A limit of the tenant is reached. The rest follows when the limit allows it."))
