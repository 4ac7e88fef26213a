"""API of `legal-holds/`, for platform staff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer, TextField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet
from tenants.context import all_tenants
from tenants.holds.service import place_hold, release_hold
from tenants.models import LegalHold
from tenants.tenancy.pausing import REASON_LIMIT
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.serializers import WhySerializer


class LegalHoldSerializer(serializers.ModelSerializer[LegalHold]):
    """A legal hold; `released_at` is null while it holds."""

    tenant = serializers.CharField(source="tenant.slug")

    class Meta:
        model = LegalHold
        fields = ("id", "tenant", "reason", "placed_by", "placed_at", "released_by", "released_at")
        read_only_fields = fields


class NewLegalHoldSerializer(StrictSerializer):
    """Request to place a hold: the tenant's slug, and the reason."""

    tenant = TextField(max_length=50)
    reason = NameField(max_length=REASON_LIMIT)


class LegalHoldViewSet(StaffViewSet):
    """Legal holds, the newest first."""

    model = LegalHold
    serializer_class = LegalHoldSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "create": Permission.TENANTS_MANAGE,
        "release": Permission.TENANTS_MANAGE,
    }

    @extend_schema(operation_id="legal_holds_list", responses=LegalHoldSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the holds, also those that were released."""
        with all_tenants():
            page = self.paginate_queryset(self.filter_queryset(LegalHold.objects.select_related("tenant")))
            return self.get_paginated_response(LegalHoldSerializer(page, many=True).data)

    @extend_schema(
        operation_id="legal_holds_place", request=NewLegalHoldSerializer, responses={201: LegalHoldSerializer}
    )
    def create(self, request: Request) -> Response:
        """Place a hold on a tenant: from then on neither retention nor an erasure deletes its data."""
        values = NewLegalHoldSerializer.of(request.data).validated_data
        hold = place_hold(tenant=find_tenant(values["tenant"]), reason=values["reason"])
        return Response(LegalHoldSerializer(hold).data, status=201)

    @extend_schema(operation_id="legal_holds_release", request=WhySerializer, responses=LegalHoldSerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Release a hold. Answer 409 `legal_hold_released` if it was released before."""
        values = WhySerializer.of(request.data).validated_data
        return Response(LegalHoldSerializer(release_hold(hold_id=UUID(pk), reason=values["reason"])).data)
