"""`compensations/`: what undoes the work of failed and cancelled workflow runs and batches, and the acts on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, QuerySerializer, page_response
from scheduling.compensation.service import retry_compensation, settle_compensation
from scheduling.configuration.serializers import RowSerializer
from scheduling.models import Compensation
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.viewsets import TenantViewSet
from tenants.tenancy.serializers import WhySerializer


class CompensationSerializer(RowSerializer):
    """A compensation, without its payload."""

    owner = serializers.UUIDField(source="owner_id", help_text="The workflow run or the batch.")
    job = serializers.UUIDField(source="job_id", allow_null=True, help_text="The job that compensates.")

    class Meta:
        model = Compensation
        fields = ("id", "tenant", "owner_type", "owner", "work", "kind", "state", "error", "job", "done_at", "ended_at")


class CompensationQuerySerializer(QuerySerializer):
    """Query parameters that filter compensations."""

    state = serializers.ChoiceField(choices=Compensation.State.values, default=None)
    owner = serializers.UUIDField(default=None, help_text="A workflow run or a batch.")


class SettledByHandSerializer(StrictSerializer):
    """Why a compensation counts as settled."""

    reason = NameField(max_length=500)


class CompensationViewSet(RetrieveModelMixin, TenantViewSet):
    """Compensations, newest first."""

    model, serializer_class = Compensation, CompensationSerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
        **dict.fromkeys(("retry", "settle"), Permission.JOBS_RETRY),
    }
    over_all_tenants = frozenset({"retry", "settle"})

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant")

    @extend_schema(
        operation_id="compensations_list",
        parameters=[CompensationQuerySerializer, *PAGING_PARAMETERS],
        responses=CompensationSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List compensations, newest first."""
        asked = CompensationQuerySerializer.parse(request.query_params).validated_data
        wanted = {"state": asked["state"], "owner_id": asked["owner"]}
        rows = self.get_queryset().filter(**{name: value for name, value in wanted.items() if value})
        return page_response(self, rows, CompensationSerializer)

    @extend_schema(operation_id="compensations_retry", request=WhySerializer, responses=CompensationSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Run the job of a compensation that needs attention again."""
        body = WhySerializer.of(request.data).validated_data
        return self._answer(retry_compensation(compensation_id=UUID(pk), reason=body["reason"]))

    @extend_schema(
        operation_id="compensations_settle", request=SettledByHandSerializer, responses=CompensationSerializer
    )
    @action(detail=True, methods=["post"])
    def settle(self, request: Request, pk: str) -> Response:
        """Mark a compensation that needs attention as settled by hand."""
        body = SettledByHandSerializer.of(request.data).validated_data
        return self._answer(settle_compensation(compensation_id=UUID(pk), reason=body["reason"]))

    def _answer(self, row: Compensation) -> Response:
        return Response(CompensationSerializer(row).data)
