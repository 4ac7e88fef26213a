"""The console's list of jobs: a query box for filters, their description, facets, and the number of newer jobs."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from scheduling.jobs.filters import FIELDS, FilterSyntaxError, JobFilter, parse
from scheduling.jobs.filters.terms import write_value
from scheduling.jobs.list_page import facet_context, frame_context, new_jobs_context
from scheduling.jobs.planner_hints import force_index_scans
from scheduling.jobs.saved_views.admin import SavedViewPages
from scheduling.models import Job
from tenants.access.caller import access_of
from tenants.access.permissions import Permission
from tenants.console.keyset import AFTER, BEFORE, LOOK_LIMIT, KeysetChangeList, parse_uuid
from tenants.console.polled_parts import part_response

QUERY, PEEK, SINCE = "q", "peek", "since"
FACETS_TEMPLATE = "scheduling/dashboards/parts/job_facets.html"
NEWS_TEMPLATE = "scheduling/dashboards/parts/job_news.html"


class JobChangeList(KeysetChangeList):
    """The rows of the job list; an empty list shows the reason and what to do."""

    empty_title = ""
    empty_text = ""
    may_submit = False

    def get_results(self, request: HttpRequest) -> None:
        self.may_submit = access_of(request).may(Permission.JOBS_SUBMIT)
        asked = filter_of_request(request)
        # From the few jobs of rare states to their rows, never through all rows to the few.
        with force_index_scans() if isinstance(asked, JobFilter) and asked.is_found_by_table else nullcontext():
            super().get_results(request)
        if isinstance(asked, FilterSyntaxError):
            self.empty_title, self.empty_text = _("The filter cannot be read"), asked.detail
        elif self.look_limit:
            self.empty_title = _("No matches among the rows read")
            self.empty_text = _(
                "No index serves this filter, so a page reads %(limit)s jobs. Continue with the link "
                "below, or narrow the time with created: or age:."
            ) % {"limit": f"{LOOK_LIMIT:,}"}
        elif not asked.is_empty:
            self.empty_title = _("No jobs match this filter")
            self.empty_text = _("Filter: %(words)s Remove one of its conditions above.") % {"words": asked.in_words()}


class JobListPages(SavedViewPages):
    """A mixin for the admin of jobs: the filtered list, and the parts of its page that are loaded later."""

    change_list_template = "scheduling/dashboards/job_list.html"
    # Without any, the shell draws no search box and requests no results.
    search_fields = ("id",)
    view_parameters = frozenset({PEEK})

    def get_urls(self) -> list[URLPattern]:
        facets = self.guard(require_safe(self.facets_view), Permission.JOBS_VIEW, cacheable=True)
        news = self.guard(require_safe(self.news_view), Permission.JOBS_VIEW, cacheable=True)
        return [
            path("facets/", facets, name="scheduling_job_facets"),
            path("news/", news, name="scheduling_job_news"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return JobChangeList

    def is_look_bounded(self, request: HttpRequest) -> bool:
        asked = filter_of_request(request)
        return isinstance(asked, JobFilter) and asked.needs_scan

    def rows_of_look(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        asked = filter_of_request(request)
        return asked.bounds.apply(rows, now=timezone.now()) if isinstance(asked, JobFilter) else rows.none()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        asked = filter_of_request(request)
        if isinstance(asked, FilterSyntaxError):
            return queryset.none(), False
        return asked.apply(queryset, now=timezone.now()), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        request.GET = folded(request.GET)  # type: ignore[assignment] # only read from here on
        frame = frame_context(request.GET.get(QUERY, ""), filter_of_request(request)) | self.views_context(request)
        shown = {**(extra_context or {}), **frame}
        shown["is_newest_page"] = not (request.GET.get(BEFORE) or request.GET.get(AFTER))
        if self.has_view_permission(request) and (job_id := parse_uuid(request.GET.get(PEEK, ""))):
            shown |= self.peek_context(request, job_id)
        response: HttpResponse = super().changelist_view(request, shown)
        return response

    def facets_view(self, request: HttpRequest) -> HttpResponseBase:
        """Render how many of the filter's jobs have each state, queue and kind, counted among the newest rows."""
        context = facet_context(_readable(request), timezone.now())
        return part_response(request, render_to_string(FACETS_TEMPLATE, context, request))

    def news_view(self, request: HttpRequest) -> HttpResponseBase:
        """Render how many of the filter's jobs are newer than the newest job in the list (`since`)."""
        given = request.GET.get(SINCE)
        since = None if given is None else parse_uuid(given)
        if given is not None and since is None:
            raise BadRequest(_("`since` must be the id of a job."))
        context = new_jobs_context(_readable(request), since, timezone.now())
        return part_response(request, render_to_string(NEWS_TEMPLATE, context, request))

    @abstractmethod
    def peek_context(self, request: HttpRequest, job_id: UUID) -> dict[str, Any]:
        """Return the template context of the panel that shows a job beside the list."""


def filter_of_request(request: HttpRequest) -> JobFilter | FilterSyntaxError:
    """Return the filter in the URL, or the error of a filter that cannot be parsed."""
    try:
        return parse(request.GET.get(QUERY, ""))
    except FilterSyntaxError as error:
        return error


def folded(parameters: QueryDict) -> QueryDict:
    """Return the URL's parameters with those named like a filter field moved into the filter `q`.

    For example, `state=discarded` becomes part of `q`.
    """
    given = [name for name in FIELDS if name in parameters]
    if not given:
        return parameters
    left = parameters.copy()
    terms = [f"{name}:{write_value(value)}" for name in given for value in left.pop(name) if value]
    left[QUERY] = " ".join(filter(None, [left.get(QUERY, ""), *terms]))
    return left


def _readable(request: HttpRequest) -> JobFilter:
    asked = filter_of_request(request)
    if isinstance(asked, FilterSyntaxError):
        raise BadRequest(asked.detail)
    return asked
