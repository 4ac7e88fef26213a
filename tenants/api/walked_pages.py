"""Pages of lists whose filter no index serves: each looks at so many rows, and leads on from there.

Such a page may hold fewer results than were asked for, even none; at the end alone its `next` is null.
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

# Rows that one page looks at: about 60 ms of the database's time.
LOOK_LIMIT = 50_000
_LEAST_ID, _GREATEST_ID = UUID(int=0), UUID(int=2**128 - 1)


class WalkedPagination(TenantCursorPagination):
    """Newest first, as all lists; bounded where the view has said which rows its filter walks through."""

    # All rows among which the filter looks; None: an index finds what it wants.
    walked: QuerySet[Any] | None = None
    # The last row that was looked at, where there may be more beyond.
    _look_end: UUID | None = None

    def decode_cursor(self, request: Request) -> Cursor | None:
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
        if self.walked is not None:
            queryset = queryset.filter(self._look(self.walked, self.decode_cursor(request)))
        return super().paginate_queryset(queryset, request, view)

    def get_next_link(self) -> str | None:
        return super().get_next_link() if self.walked is None else self._link(is_backward=False)

    def get_previous_link(self) -> str | None:
        return super().get_previous_link() if self.walked is None else self._link(is_backward=True)

    @property
    def _is_backward(self) -> bool:
        return self.cursor is not None and bool(self.cursor.reverse)

    def _look(self, walked: QuerySet[Any], cursor: Cursor | None) -> Q:
        """As far as this page looks, which is as far as LOOK_LIMIT rows reach from its cursor."""
        is_backward = cursor is not None and cursor.reverse
        if cursor is not None:
            walked = walked.filter(**{"id__gt" if is_backward else "id__lt": cursor.position})
        ids = walked.order_by("id" if is_backward else "-id").values_list("id", flat=True)
        self._look_end = ids[LOOK_LIMIT : LOOK_LIMIT + 1].first()
        if self._look_end is None:
            return Q()
        return Q(**{"id__lte" if is_backward else "id__gte": self._look_end})

    def _link(self, *, is_backward: bool) -> str | None:
        """Where the neighbour begins: beyond the page's own edge, or beyond what was looked at."""
        position: UUID | None
        if is_backward == self._is_backward:
            has_more = self.has_previous if is_backward else self.has_next
            position = self._edge(is_backward=is_backward) if has_more else self._look_end
        elif self.cursor is None:
            position = None
        else:
            # From an empty page back: over all that it looked at, which held nothing.
            beyond = self._look_end or (_LEAST_ID if is_backward else _GREATEST_ID)
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
