"""Pages of rows as answers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from tenants.api.pagination import TenantCursorPagination
from tenants.api.viewsets import TenantViewSet


class OldestFirstPagination(TenantCursorPagination):
    """For histories, which are read from their beginning."""

    ordering = "id"


def page_response(view: TenantViewSet, rows: QuerySet[Any], serializer: type[Serializer[Any]]) -> Response:
    """One page of ``rows`` by the view's own paging."""
    return view.get_paginated_response(serializer(view.paginate_queryset(rows), many=True).data)
