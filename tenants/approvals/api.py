"""API of `approval-requests/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.approvals.queries import is_open, visible_to
from tenants.approvals.service import approve, reject
from tenants.models import ApprovalRequest
from tenants.tenancy.pausing import REASON_LIMIT


class ApprovalRequestSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A request to do an act that needs a second person."""

    is_open = serializers.SerializerMethodField(help_text="Whether it can still be decided.")

    class Meta:
        model = ApprovalRequest
        asked = (
            "id",
            "act",
            "preview",
            "arguments",
            "status",
            "is_open",
            "is_repeated",
            "requested_by",
            "requested_at",
        )
        fields = (*asked, "expires_at", "decided_by", "decided_at", "reason")
        read_only_fields = fields

    def get_is_open(self, row: ApprovalRequest) -> bool:
        """Return whether it is undecided and has not expired."""
        return is_open(row)


class DecisionSerializer(StrictSerializer):
    """Request to decide: the reason, which a rejection must have."""

    reason = NameField(max_length=REASON_LIMIT, required=False, allow_blank=True, default="")


class ApprovalRequestViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Requests of approval, the newest first. A person decides: an API key cannot."""

    model = ApprovalRequest
    serializer_class = ApprovalRequestSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "approve": Permission.APPROVALS_DECIDE,
        "reject": Permission.APPROVALS_DECIDE,
    }
    over_all_tenants = frozenset({"approve", "reject"})

    def get_queryset(self) -> QuerySet[Any]:
        return visible_to(self.access, super().get_queryset())

    @extend_schema(
        operation_id="approval_requests_approve", request=DecisionSerializer, responses=ApprovalRequestSerializer
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve the act of another person, and do it; `is_repeated` acts are done when the call is repeated."""
        return self._answer(approve(request_id=UUID(pk), may=self.access.may, **self._reason(request)))

    @extend_schema(
        operation_id="approval_requests_reject", request=DecisionSerializer, responses=ApprovalRequestSerializer
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject the act of another person."""
        return self._answer(reject(request_id=UUID(pk), may=self.access.may, **self._reason(request)))

    def _reason(self, request: Request) -> dict[str, str]:
        return dict(DecisionSerializer.of(request.data).validated_data)

    def _answer(self, row: ApprovalRequest) -> Response:
        return Response(ApprovalRequestSerializer(row).data)
