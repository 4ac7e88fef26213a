"""Filters of lists by query parameters."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.request import Request

from tenants.api.pagination import PAGING
from tenants.exceptions import FilterUnknownError


class StrictFilterBackend(DjangoFilterBackend):
    """Filter backend that refuses unknown query parameters: to ignore one would silently return too many rows."""

    def get_filterset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        known = {*view.filterset_class.base_filters, *(PAGING if view.action == "list" else ())}
        if unknown := sorted(set(request.query_params) - known):
            raise FilterUnknownError(
                "There is no filter %(name)r; the filters are %(known)s.",
                {"name": unknown[0][:100], "known": ", ".join(sorted(known))},
            )
        return super().get_filterset(request, queryset, view)
