"""`outbox-routes/` and `outbox/`: where messages go, the messages, and their retry."""

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

from scheduling.api.filters import PAGING_PARAMETERS, QuerySerializer, QueryTextField, page_response
from scheduling.configuration.api import ConfiguredViewSet
from scheduling.configuration.serializers import RowSerializer
from scheduling.models import OutboxMessage
from scheduling.outbox.service import OUTBOX_ROUTES, retry_message
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.tenancy.serializers import WhySerializer


class OutboxRouteViewSet(ConfiguredViewSet):
    """Routes of the outbox: topics, and the target of an adapter that their messages go to."""

    path, configured, changes = "outbox-routes", OUTBOX_ROUTES, Permission.WEBHOOKS_MANAGE


class OutboxMessageSerializer(RowSerializer):
    """A message of the outbox, without its content."""

    route = serializers.CharField(source="route.name", allow_null=True, default=None)
    job = serializers.UUIDField(source="job_id", help_text="The job that has emitted it.")
    delivery_job = serializers.UUIDField(source="delivery_job_id", allow_null=True)

    class Meta:
        model = OutboxMessage
        fields = (
            "id", "tenant", "topic", "key", "route", "state", "attempt", "error", "due_at", "job", "delivery_job",
            "created_at", "ended_at",
        )  # fmt: skip


class OutboxQuerySerializer(QuerySerializer):
    """Query parameters that filter messages of the outbox."""

    state = serializers.ChoiceField(choices=OutboxMessage.State.values, default=None)
    topic = QueryTextField(help_text="A topic.")
    key = QueryTextField(help_text="A key.")


class OutboxViewSet(RetrieveModelMixin, TenantViewSet):
    """Messages that jobs have emitted, newest first."""

    model, serializer_class = OutboxMessage, OutboxMessageSerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
        "retry": Permission.JOBS_RETRY,
    }
    over_all_tenants = frozenset({"retry"})

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant", "route")

    @extend_schema(
        operation_id="outbox_list",
        parameters=[OutboxQuerySerializer, *PAGING_PARAMETERS],
        responses=OutboxMessageSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List messages, newest first."""
        asked = OutboxQuerySerializer.parse(request.query_params).validated_data
        wanted = {name: value for name in ("state", "topic", "key") if (value := asked[name])}
        return page_response(self, self.get_queryset().filter(**wanted), OutboxMessageSerializer)

    @extend_schema(operation_id="outbox_retry", request=WhySerializer, responses=OutboxMessageSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Deliver a message again that was given up, or had no route."""
        body = WhySerializer.of(request.data)
        message = retry_message(message_id=UUID(pk), reason=body.validated_data["reason"])
        return Response(OutboxMessageSerializer(message).data)
