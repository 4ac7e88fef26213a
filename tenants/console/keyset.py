"""Console lists of unbounded length: paged by key instead of by page number, without a total count.

The ids are UUIDv7, so they sort by time, and a page is one range of the primary index, however deep in the list it is.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from tenants.console.base import ReadOnlyAdmin
from tenants.models import Tenant

BEFORE, AFTER = "before", "after"
# Rows that one page scans if a filter has no index, so that a rare value does not scan all of history. They are read
# twice, and looked up one by one if they changed recently: about 50 ms of database time.
LOOK_LIMIT = 20_000


class KeysetChangeList(ChangeList):
    """Change list, newest first.

    ``newer_url`` and ``older_url`` link to the neighbouring pages; None if there is none.
    """

    newer_url: str | None = None
    older_url: str | None = None
    # The number of scanned rows if there may be more beyond them, else None.
    look_limit: int | None = None

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        """Return the filters in the URL: its parameters without the page keys and the page's own view parameters."""
        lookups: dict[str, Any] = super().get_filters_params(params)
        for key in (BEFORE, AFTER, *getattr(self.model_admin, "view_parameters", ())):
            lookups.pop(key, None)
        return lookups

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
        """Return the ordering: by id, newest first, whatever the URL says."""
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows of the page that the URL's key selects, and set the links to the neighbouring pages."""
        before, after = _key(request, BEFORE), _key(request, AFTER)
        size, is_upward = self.list_per_page, after is not None
        beyond = Q(pk__gt=after) if is_upward else Q() if before is None else Q(pk__lt=before)
        is_bounded = isinstance(self.model_admin, KeysetAdmin) and self.model_admin.is_look_bounded(request)
        end = self._end_of_look(request, beyond, is_upward=is_upward) if is_bounded else None
        if end is not None:
            beyond &= Q(pk__lte=end) if is_upward else Q(pk__gte=end)
        rows = list(self.queryset.filter(beyond).order_by("pk" if is_upward else "-pk")[: size + 1])
        page, has_more = rows[:size], len(rows) > size
        if is_upward:
            page.reverse()
        has_newer, has_older = (has_more, True) if is_upward else (before is not None, has_more)
        if end is not None and not has_more:
            # There may be more rows beyond: the page shows how far it scanned, and links from there.
            self.look_limit = LOOK_LIMIT
            if is_upward:
                self.newer_url = self._url({AFTER: end})
            else:
                self.older_url = self._url({BEFORE: end})
        self.result_list = page
        self.result_count = self.full_result_count = len(page)
        self.show_full_result_count = False
        self.show_admin_actions = bool(page)
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, page, size)
        if page:
            self.newer_url = self._url({AFTER: page[0].pk}) if has_newer else self.newer_url
            self.older_url = self._url({BEFORE: page[-1].pk}) if has_older else self.older_url

    def _end_of_look(self, request: HttpRequest, beyond: Q, *, is_upward: bool) -> UUID | None:
        """Return the last row that is scanned, or None if fewer rows exist."""
        rows = self.root_queryset.select_related(None).filter(beyond).order_by("pk" if is_upward else "-pk")
        if isinstance(self.model_admin, KeysetAdmin):
            rows = self.model_admin.rows_of_look(request, rows)
        end: UUID | None = rows.values_list("pk", flat=True)[LOOK_LIMIT : LOOK_LIMIT + 1].first()
        return end

    def _url(self, key: dict[str, Any]) -> str:
        return str(self.get_query_string(key, remove=[BEFORE, AFTER]))


class KeysetAdmin(ReadOnlyAdmin):
    """Base of read-only lists of rows whose ids are UUIDv7."""

    change_list_template = "tenants/admin/keyset_list.html"
    sortable_by = ()
    is_named_by_id = True

    # URL parameters of the view, not filters of its rows.
    view_parameters: ClassVar[frozenset[str]] = frozenset()
    # Filters without an index.
    walked_filters: ClassVar[frozenset[str]] = frozenset()

    def is_look_bounded(self, request: HttpRequest) -> bool:
        """Return whether a page scans at most LOOK_LIMIT rows: if it has a filter without an index, and no search."""
        return not request.GET.get("q") and any(request.GET.get(name) for name in self.walked_filters)

    def rows_of_look(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that a filter without an index has to scan, narrowed by those filters that have one."""
        if slug := request.GET.get("tenant"):
            # By its key, which has an index; a join by slug would sort all of its rows.
            rows = rows.filter(tenant_id=Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first())
        return rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Return the class of the change list."""
        return KeysetChangeList


def _key(request: HttpRequest, name: str) -> UUID | None:
    """Return the key in the URL, or None if it is no UUID, as Django treats a page that does not exist."""
    return parse_uuid(request.GET.get(name, ""))


def parse_uuid(text: str) -> UUID | None:
    """Return the text as a UUID, or None if it is not one."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
