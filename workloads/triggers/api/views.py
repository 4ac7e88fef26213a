"""API views of `webhook-triggers/`, and of `triggers/{id}/`, which receives signed requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.api import ON_ROW, ConfiguredViewSet
from scheduling.configuration.serializers import RowSerializer, row_serializer
from tenants.access.permissions import Permission
from tenants.api.problems import problem_response
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.exceptions import BodyTooLargeError, DomainError
from tenants.limits.declared import LIST, READ
from tenants.tenancy.serializers import WhySerializer
from workloads.triggers.models import TriggerDelivery, WebhookTrigger
from workloads.triggers.receiving import MAX_BODY_BYTES, MAX_VALUE_CHARACTERS, InboundRequest, receive
from workloads.triggers.service import TRIGGERS, deliveries_of, rotate_secret, secret_of


class SecretSerializer(RowSerializer):
    """Base of the serializer of a trigger with its secret. Only the answers that create or replace it have one."""

    secret = serializers.SerializerMethodField()

    def get_secret(self, trigger: WebhookTrigger) -> str:
        """Return the secret in the clear."""
        return secret_of(trigger)


_SHOWN = ("created_at", "rotated_at")
TriggerSerializer = row_serializer(TRIGGERS, *_SHOWN)
NewTriggerSerializer = row_serializer(TRIGGERS, *_SHOWN, "secret", base=SecretSerializer, name="NewWebhookTrigger")


class TriggerDeliverySerializer(RowSerializer):
    """A signed request to a trigger, and what it has started."""

    class Meta:
        model = TriggerDelivery
        fields = ("id", "tenant", "status", "job_id", "is_duplicate", "error", "received_at")


class StartedSerializer(serializers.Serializer[None]):
    """The job that a request to a trigger has started."""

    job = serializers.UUIDField()
    is_duplicate = serializers.BooleanField(help_text="The job existed: its key has been received before.")


class WebhookTriggerViewSet(ConfiguredViewSet):
    """Webhook triggers: what signed requests of other systems start."""

    path, configured, shown, created = "webhook-triggers", TRIGGERS, TriggerSerializer, NewTriggerSerializer
    changes = Permission.WEBHOOKS_MANAGE
    declared: ClassVar[Mapping[str, Any]] = {
        "mapping": serializers.DictField(
            required=False, help_text="The payload, with `{ref}` and `{template}` of the request; empty: the body."
        ),
    }
    others: ClassVar[Mapping[str, Permission]] = {
        "rotate": Permission.WEBHOOKS_MANAGE,
        "deliveries": Permission.JOBS_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"deliveries": LIST}

    @extend_schema(operation_id="webhook_triggers_rotate", request=WhySerializer, responses=NewTriggerSerializer)
    @action(**ON_ROW)
    def rotate(self, request: Request, pk: str) -> Response:
        """Replace a trigger's secret. For a day, requests signed with the previous one are accepted too."""
        body = WhySerializer.of(request.data)
        trigger, _ = rotate_secret(trigger_id=UUID(pk), reason=body.validated_data["reason"])
        return Response(NewTriggerSerializer(trigger).data)

    @extend_schema(operation_id="webhook_triggers_deliveries_list", responses=TriggerDeliverySerializer(many=True))
    @action(detail=True, serializer_class=TriggerDeliverySerializer)
    def deliveries(self, request: Request, pk: str) -> Response:
        """List the last fifty deliveries to a trigger, newest first, without their bodies."""
        rows = self.filter_queryset(deliveries_of(self.find(pk)).select_related("tenant"))
        return self.get_paginated_response(TriggerDeliverySerializer(self.paginate_queryset(rows), many=True).data)


class ReceiveViewSet(Unpaged, TenantViewSet):
    """The addresses of triggers: a signature takes the place of an account."""

    authentication_classes = ()
    permission_classes: ClassVar[list[Any]] = []
    max_body_bytes = MAX_BODY_BYTES
    request_costs: ClassVar[Mapping[str, int]] = {"receive": READ}

    @extend_schema(
        operation_id="triggers_receive",
        auth=[],
        request=OpenApiTypes.OBJECT,
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER)
            for name in ("Webhook-Id", "Webhook-Timestamp", "Webhook-Signature")
        ],
        responses={202: StartedSerializer, 401: OpenApiResponse(description="Not signed, too old, or no trigger.")},
    )
    def receive(self, request: Request, trigger_id: str) -> HttpResponseBase:
        """Start what the trigger starts. An equal key returns the job of the first time."""
        got = self.django_request
        body = got.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLargeError("The body is larger than %(limit)s bytes.", {"limit": MAX_BODY_BYTES})
        query = {name: str(got.GET[name])[:MAX_VALUE_CHARACTERS] for name in got.GET}
        inbound = InboundRequest(body, got.headers, query, getattr(got, "request_id", ""))
        try:
            started = receive(UUID(trigger_id), inbound)
        except DomainError as refusal:
            # Not raised: that would roll back the record of the delivery.
            return problem_response(refusal)
        facts = {"job": started.job.pk, "is_duplicate": not started.created}
        answer: HttpResponseBase = Response(StartedSerializer(facts).data, status=202)
        return answer
