"""API of `bulk-operations/`: preview and start one action on all jobs of a filter; follow, abort and undo it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer
from scheduling.bulk.parsing import permission_of
from scheduling.bulk.queries import find_operations, get_operation
from scheduling.bulk.reroute import start_reroute
from scheduling.bulk.serializers import (
    BulkOperationSerializer,
    BulkPreviewSerializer,
    BulkReasonSerializer,
    BulkRequestSerializer,
)
from scheduling.bulk.starting import plan_bulk_operation, start_bulk_operation
from scheduling.bulk.stopping import abort_bulk_operation, undo_bulk_operation
from scheduling.models import BulkOperation
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.database.clock import read_moment
from tenants.limits.declared import HEAVY


class BulkOperationViewSet(TenantViewSet):
    """Bulk operations: each applies one action to all jobs of a filter."""

    model = BulkOperation
    serializer_class = BulkOperationSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "create": Permission.JOBS_BULK,
        "abort": Permission.JOBS_BULK,
        "undo": Permission.JOBS_BULK,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"create": HEAVY}
    over_all_tenants: ClassVar[frozenset[str]] = frozenset({"create", "abort", "undo"})
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(
        operation_id="bulk_operations_list", parameters=PAGING_PARAMETERS, responses=BulkOperationSerializer(many=True)
    )
    def list(self, request: Request) -> Response:
        """List bulk operations, newest first."""
        NoQuerySerializer.parse(request.query_params)
        page = self.paginate_queryset(find_operations())
        serializer = BulkOperationSerializer(page, many=True, context={"now": read_moment()})
        return self.get_paginated_response(serializer.data)

    @extend_schema(
        operation_id="bulk_operations_create",
        request=BulkRequestSerializer,
        responses={
            200: OpenApiResponse(BulkPreviewSerializer, description="A preview; nothing is changed."),
            201: OpenApiResponse(BulkOperationSerializer, description="Started; the dispatchers continue it."),
        },
    )
    def create(self, request: Request) -> Response:
        """Start an operation on the jobs of a filter, or preview it with `dry_run`.

        Needs `jobs.bulk` and the permission to do the same to one job: `jobs.cancel` or `jobs.retry`; a `payload_patch`
        also needs `jobs.reveal`. For more than 1,000 jobs, or jobs of several tenants, the request must state their
        `number`; otherwise it is refused with 409 `bulk_number`, which contains the number. Without `X-Tenant`,
        platform accounts reach the jobs of all tenants. `reroute` takes no filter: it moves waiting jobs to the queues
        that the current routing rules give, and needs a platform role with `fairness.manage`.
        """
        body = BulkRequestSerializer.of(request.data)
        given = body.validated_data
        self._check(given["operation"], given["payload_patch"])
        if given["operation"] == BulkOperation.Operation.REROUTE:
            return self._started(start_reroute(reason=given["reason"]), request)
        asked = {
            "filter_text": given["filter"],
            "operation": given["operation"],
            "parameters": body.parameters,
            "payload_patch": given["payload_patch"],
        }
        if given["dry_run"]:
            context = {"reveals": self.access.may(Permission.JOBS_REVEAL)}
            return Response(BulkPreviewSerializer(plan_bulk_operation(**asked), context=context).data)
        operation = start_bulk_operation(
            **asked, reason=given["reason"], number=given["number"], ticket=given["ticket"]
        )
        return self._started(operation, request)

    @extend_schema(operation_id="bulk_operations_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return an operation with its progress and, by reason, the numbers of jobs that it could not change."""
        return self._answer(UUID(pk))

    @extend_schema(operation_id="bulk_operations_abort", request=BulkReasonSerializer)
    @action(detail=True, methods=["post"])
    def abort(self, request: Request, pk: str) -> Response:
        """Abort an operation; jobs already changed stay changed."""
        abort_bulk_operation(operation_id=UUID(pk), reason=self._reason(request))
        return self._answer(UUID(pk))

    @extend_schema(
        operation_id="bulk_operations_undo",
        request=BulkReasonSerializer,
        responses={201: OpenApiResponse(BulkOperationSerializer, description="The operation that undoes it.")},
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Start an operation that restores the former priority or queue of the jobs, except of those changed since."""
        return self._started(undo_bulk_operation(operation_id=UUID(pk), reason=self._reason(request)), request)

    def _check(self, operation: str, payload_patch: Mapping[str, Any] | None) -> None:
        """Raise PermissionDenied unless the caller may do the same to one job and, for a patch, reveal payloads."""
        needed = [permission_of(operation), *([Permission.JOBS_REVEAL] if payload_patch is not None else ())]
        for right in needed:
            if not self.access.may(right):
                raise PermissionDenied(
                    gettext("This operation requires the permission %(needed)s.") % {"needed": right}
                )

    def _reason(self, request: Request) -> str:
        return str(BulkReasonSerializer.of(request.data).validated_data["reason"])

    def _started(self, operation: BulkOperation, request: Request) -> Response:
        answer = self._answer(operation.pk, status=201)
        answer["Location"] = reverse("bulk-operation-detail", args=[operation.pk], request=request)
        return answer

    def _answer(self, operation_id: UUID, *, status: int = 200) -> Response:
        serializer = BulkOperationSerializer(get_operation(operation_id), context={"now": read_moment()})
        return Response(serializer.data, status=status)
