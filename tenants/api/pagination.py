"""Lists by cursor: `{"next": url | null, "previous": …, "results": […]}`, at most 200 a page."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from django.utils.translation import gettext
from rest_framework.exceptions import NotFound
from rest_framework.filters import BaseFilterBackend
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.exceptions import CursorInvalidError, FieldInvalidError, FilterUnknownError

_PAGING = frozenset({"cursor", "limit"})
_MAX_LIMIT = 200


def read_limit(given: str) -> int:
    """How many results a page is to hold; `FieldInvalidError` for what is no number from 1 to 200."""
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= _MAX_LIMIT):
        raise FieldInvalidError(
            "limit: It must be a number from 1 to %(greatest)s.",
            {"greatest": _MAX_LIMIT},
            errors=[
                {
                    "field": "limit",
                    "code": "field_invalid",
                    "detail": gettext("1 to %(greatest)s") % {"greatest": _MAX_LIMIT},
                }
            ],
        )
    return int(given)


class TenantCursorPagination(CursorPagination):
    """Newest first: ids are UUIDv7, so their order is that of creation and the primary key serves every page."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "How many results a page holds; at most 200."
    max_page_size = _MAX_LIMIT

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("limit")
        return self.page_size if given is None else read_limit(given)

    def decode_cursor(self, request: Request) -> Cursor | None:
        # Ids are unique, so a cursor of ours has a position and never an offset.
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor is not None and (cursor.position is None or cursor.offset):
            raise CursorInvalidError
        return cursor

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        # A cursor is base64 of whatever the caller likes; its position meets a column only in the query.
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, DataError) as error:
            raise CursorInvalidError from error
        return page


class OldestFirstPagination(TenantCursorPagination):
    """Oldest first: for what is read from its beginning."""

    ordering = "id"


class PagingOnly(BaseFilterBackend):
    """Of a list without filters: a parameter that is ignored would seem to have narrowed the answer."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        if unknown := sorted(set(request.query_params) - _PAGING):
            raise FilterUnknownError("There is no filter %(name)r; this list has none.", {"name": unknown[0][:100]})
        return queryset
