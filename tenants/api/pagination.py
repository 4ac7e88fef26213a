"""Cursor pagination of lists: `{"next": url | null, "previous": …, "results": […]}`, at most 200 results a page."""

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

PAGING = frozenset({"cursor", "limit"})
MAX_LIMIT = 200


def read_limit(given: str) -> int:
    """Return the page size given as text; raise `FieldInvalidError` unless it is a whole number from 1 to 200."""
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= MAX_LIMIT):
        raise FieldInvalidError(
            "limit: It must be a number from 1 to %(greatest)s.",
            {"greatest": MAX_LIMIT},
            errors=[
                {
                    "field": "limit",
                    "code": "field_invalid",
                    "detail": gettext("1 to %(greatest)s") % {"greatest": MAX_LIMIT},
                }
            ],
        )
    return int(given)


class TenantCursorPagination(CursorPagination):
    """Cursor pagination by id, newest first: ids are UUIDv7, which sort by time of creation."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "How many results a page holds; at most 200."
    max_page_size = MAX_LIMIT

    def get_page_size(self, request: Request) -> int:
        """Return the page size that the request asks for with `limit`, or the default."""
        given = request.query_params.get("limit")
        return self.page_size if given is None else read_limit(given)

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Return the request's cursor, or None if it has none; raise `CursorInvalidError` if it is malformed."""
        # Ids are unique, so a valid cursor has a position and no offset.
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor is not None and (cursor.position is None or cursor.offset):
            raise CursorInvalidError
        return cursor

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: APIView) -> tuple[str, ...]:
        """Return the order that the request asks for with `ordering`, or the list's own."""
        asked: str | None = getattr(view, "asked_ordering", None)
        own: tuple[str, ...] = super().get_ordering(request, queryset, view)
        return own if asked is None else (asked,)

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        """Return the rows of the page; raise `CursorInvalidError` if the cursor is malformed."""
        # The cursor is base64 of arbitrary input; only the query checks its position against the column's type.
        try:
            page: list[Any] | None = super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, DataError) as error:
            raise CursorInvalidError from error
        return page


class OldestFirstPagination(TenantCursorPagination):
    """Cursor pagination by id, oldest first."""

    ordering = "id"


class PagingOnly(BaseFilterBackend):
    """Filter backend of lists that have no filters: unknown query parameters are refused instead of ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Return the queryset unchanged; raise `FilterUnknownError` for a parameter other than `cursor` and `limit`."""
        if unknown := sorted(set(request.query_params) - PAGING):
            raise FilterUnknownError("There is no filter %(name)r; this list has none.", {"name": unknown[0][:100]})
        return queryset
