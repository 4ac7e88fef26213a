"""API views of `approvals/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from workloads.workflows.api.serializers import ApprovalDecisionSerializer, ApprovalQuerySerializer, ApprovalSerializer
from workloads.workflows.models import Approval
from workloads.workflows.queries import find_approvals, get_approval
from workloads.workflows.runs import decide_approval

_PAGING = frozenset({"limit", "cursor"})


class ApprovalViewSet(TenantViewSet):
    """Approvals: questions that workflow runs ask people."""

    model = Approval
    serializer_class = ApprovalSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.WORKFLOWS_VIEW,
        "retrieve": Permission.WORKFLOWS_VIEW,
        "decide": Permission.WORKFLOWS_APPROVE,
    }
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(
        operation_id="approvals_list", parameters=[ApprovalQuerySerializer], responses=ApprovalSerializer(many=True)
    )
    def list(self, request: Request) -> Response:
        """List approvals, newest first."""
        asked = {name: value for name, value in request.query_params.items() if name not in _PAGING}
        query = ApprovalQuerySerializer.of(asked)
        names = {"state": "shown_state", "workflow": "workflow_id"}
        found = find_approvals().filter(**{names[name]: value for name, value in query.validated_data.items()})
        page = self.paginate_queryset(found)
        return self.get_paginated_response(ApprovalSerializer(page, many=True).data)

    @extend_schema(operation_id="approvals_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one approval."""
        return Response(ApprovalSerializer(get_approval(UUID(pk))).data)

    @extend_schema(operation_id="approvals_decide", request=ApprovalDecisionSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: str) -> Response:
        """Decide an approval. Each can be decided once, and its run continues at once."""
        answer = ApprovalDecisionSerializer.of(request.data).validated_data
        decide_approval(approval_id=UUID(pk), is_approved=answer["decision"] == "approved", comment=answer["comment"])
        return Response(ApprovalSerializer(get_approval(UUID(pk))).data)
