"""Template context of the job list: the filter as chips and in words, its facets, and the number of newer jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from scheduling.console.wording import mark_of
from scheduling.jobs.facets import FACET_ROWS, Facet, count_newer, read_facets
from scheduling.jobs.filters import FIELDS, FilterSyntaxError, JobFilter
from scheduling.jobs.filters.terms import Value
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.queries import CappedCount
from tenants.exceptions import DomainError
from tenants.requests.features import require_feature


@dataclass(frozen=True, slots=True)
class FacetChoice:
    """One value of a facet: the URL that adds it to the filter or removes it, and its number of jobs once counted."""

    value: str
    address: str
    is_chosen: bool
    count: CappedCount | None = None


def frame_context(text: str, asked: JobFilter | FilterSyntaxError) -> dict[str, object]:
    """Return the template context of the filter: its text, chips and facets, without counted numbers."""
    shared = {"filter_text": text, "fields": FIELDS.values(), "whole_address": list_url(JobFilter())}
    if isinstance(asked, FilterSyntaxError):
        return {**shared, "fault": asked, "mended_address": _mended_address(text, asked)}
    query = urlencode({"q": asked.text}) if asked.terms else ""
    return {
        **shared,
        "filter_text": asked.text,
        "filter_words": asked.in_words(),
        "chips": [{"text": term.text, "address": list_url(asked.without(term))} for term in asked.terms],
        "facets": _facets(asked, {}),
        "facets_url": _with_query(reverse("admin:scheduling_job_facets"), query),
        "news_url": f"{reverse('admin:scheduling_job_news')}?{query}{'&' if query else ''}since=",
    }


def facet_context(job_filter: JobFilter, now: datetime) -> dict[str, object]:
    """Return the template context of the facets with their counts."""
    try:
        require_feature("exact_counts")
    except DomainError as refusal:
        return {"facets": _facets(job_filter, {}), "refusal": refusal.detail}
    counted = read_facets(job_filter, now=now)
    is_cut = any(facet.is_cut for facet in counted.values())
    return {"facets": _facets(job_filter, counted), "is_counted": True, "looked_at": FACET_ROWS if is_cut else None}


def new_jobs_context(job_filter: JobFilter, since: UUID | None, now: datetime) -> dict[str, object]:
    """Return the context with the number of jobs newer than ``since``, the newest job of the list.

    ``since`` is None for an empty list; no number is shown then.
    """
    return {"count": since and count_newer(job_filter, since, now=now), "address": list_url(job_filter)}


def list_url(job_filter: JobFilter) -> str:
    """Return the URL of the job list with this filter."""
    return list_url_of_text(job_filter.text)


def list_url_of_text(text: str) -> str:
    """Return the URL of the job list with this filter text, which need not be valid."""
    # Each facet has a dozen of them: the path is resolved once.
    return _with_query(_list_path(), urlencode({"q": text}) if text else "")


@cache
def _list_path() -> str:
    return reverse("admin:scheduling_job_changelist")


def _with_query(address: str, query: str) -> str:
    return f"{address}?{query}" if query else address


def _mended_address(text: str, fault: FilterSyntaxError) -> str | None:
    """Return the URL of the list under the suggested filter, or None."""
    if fault.suggestion is None:
        return None
    end = fault.position + len(fault.word)
    return list_url_of_text(text[: fault.position] + fault.suggestion + text[end:])


def _facets(asked: JobFilter, counted: Mapping[str, Facet]) -> list[dict[str, object]]:
    return [
        {"title": _("State"), "choices": list(_choices(asked, "state", list(JobState), counted))},
        {"title": _("Queue"), "choices": list(_choices(asked, "queue", (), counted))},
        {"title": _("Kind"), "choices": list(_choices(asked, "kind", (), counted))},
    ]


def _choices(
    asked: JobFilter, field: str, known: Sequence[Value], counted: Mapping[str, Facet]
) -> Iterator[FacetChoice]:
    """Yield the known values, and those that are requested or were found.

    Once counted, values that no job has are left out unless they are requested.
    """
    facet = counted.get(field)
    chosen = asked.values_of(field)
    for value in dict.fromkeys([*known, *chosen, *(sorted(facet.counts) if facet else ())]):
        count = None if facet is None else facet.count_of(str(value))
        if count is not None and not count.value and not count.is_capped and value not in chosen:
            continue
        shown = mark_of(value).word if field == "state" else str(value)
        yield FacetChoice(shown, list_url(asked.toggled(field, value)), value in chosen, count)
