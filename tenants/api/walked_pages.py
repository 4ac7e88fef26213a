"""Pagination of lists whose filter has no index: each page scans at most LOOK_LIMIT rows.

A page may therefore hold fewer results than its limit, even none; `next` is null only at the end of the list.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.pagination import Cursor
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.api.pagination import TenantCursorPagination
from tenants.exceptions import CursorInvalidError

# Rows that one page scans: about 60 ms of database time.
LOOK_LIMIT = 50_000
_LEAST_ID, _GREATEST_ID = UUID(int=0), UUID(int=2**128 - 1)


class WalkedPagination(TenantCursorPagination):
    """Cursor pagination, newest first, that bounds the rows scanned for a page.

    The view sets `walked` to the queryset that its filter has to scan; while `walked` is None, there is no bound.
    """

    # All rows that the filter scans; None if an index serves it.
    walked: QuerySet[Any] | None = None
    # The last scanned row, or None if there are no more rows.
    _look_end: UUID | None = None
    _is_oldest_first: bool = False

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the request's cursor or None; raise `CursorInvalidError` unless the cursor's position is a UUID."""
        cursor = super().decode_cursor(request)
        if cursor is None:
            return None
        try:
            return cursor._replace(position=str(UUID(cursor.position)))
        except ValueError as error:
            raise CursorInvalidError from error

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """Return the rows of the page; if `walked` is set, only those among the next LOOK_LIMIT scanned rows."""
        if self.walked is not None:
            self._is_oldest_first = getattr(view, "asked_ordering", None) == "id"
            queryset = queryset.filter(self._look(self.walked, self.decode_cursor(request)))
        return super().paginate_queryset(queryset, request, view)

    def get_next_link(self) -> str | None:
        """Return the URL of the next page, or None."""
        return super().get_next_link() if self.walked is None else self._link(is_backward=False)

    def get_previous_link(self) -> str | None:
        """Return the URL of the previous page, or None."""
        return super().get_previous_link() if self.walked is None else self._link(is_backward=True)

    @property
    def _is_backward(self) -> bool:
        return self.cursor is not None and bool(self.cursor.reverse)

    def _look(self, walked: QuerySet[Any], cursor: Cursor | None) -> Q:
        """Return the condition that bounds this page to LOOK_LIMIT rows from its cursor."""
        is_upward = (cursor is not None and bool(cursor.reverse)) != self._is_oldest_first
        if cursor is not None:
            walked = walked.filter(**{"id__gt" if is_upward else "id__lt": cursor.position})
        ids = walked.order_by("id" if is_upward else "-id").values_list("id", flat=True)
        self._look_end = ids[LOOK_LIMIT : LOOK_LIMIT + 1].first()
        if self._look_end is None:
            return Q()
        return Q(**{"id__lte" if is_upward else "id__gte": self._look_end})

    def _link(self, *, is_backward: bool) -> str | None:
        """Return the URL of the next or previous page, beyond this page or its scan; None if there is none."""
        position: UUID | None
        if is_backward == self._is_backward:
            has_more = self.has_previous if is_backward else self.has_next
            position = self._edge(is_backward=is_backward) if has_more else self._look_end
        elif self.cursor is None:
            position = None
        else:
            # Back from an empty page: across all scanned rows, which held no result.
            beyond = self._look_end or (_LEAST_ID if is_backward != self._is_oldest_first else _GREATEST_ID)
            position = self._edge(is_backward=is_backward) or beyond
        if position is None:
            return None
        link: str = self.encode_cursor(Cursor(offset=0, reverse=is_backward, position=str(position)))
        return link

    def _edge(self, *, is_backward: bool) -> UUID | None:
        if not self.page:
            return None
        edge: UUID = self.page[0 if is_backward else -1].pk
        return edge
