"""Serializers and API views of `webhooks/` and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.subscriptions.registry import JOB_EVENTS, MAX_FILTER_CHARACTERS
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, StrictSerializer, TextField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import LIST
from tenants.tenancy.serializers import NoBodySerializer, WhySerializer
from workloads.webhooks.endpoints import get_webhook
from workloads.webhooks.models import MAX_URL, Delivery, Webhook
from workloads.webhooks.service import (
    ShownSecret,
    create_webhook,
    delete_webhook,
    deliveries_of,
    rotate_secret,
    try_webhook,
    update_webhook,
)


class WebhookWriteSerializer(StrictSerializer):
    """Request body: the fields of a webhook to create or change."""

    name = NameField(max_length=100, help_text="Unique within the tenant.")
    url = NameField(max_length=MAX_URL, help_text="http or https; private and internal addresses are refused.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=JOB_EVENTS),
        max_length=len(JOB_EVENTS),
        required=False,
        help_text="Events of the tenant's jobs that it receives from now on; without any, only those of batches that "
        "name it.",
    )
    filter = TextField(
        max_length=MAX_FILTER_CHARACTERS,
        allow_blank=True,
        required=False,
        source="job_filter",
        help_text="Filter of jobs, such as `kind:noop tag:night`; empty: all jobs. Fields: docs/how-to/webhooks.md.",
    )


class WebhookSerializer(serializers.Serializer[Webhook]):
    """A webhook: a URL of the tenant that is notified of events."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    name = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(choices=JOB_EVENTS))
    filter = serializers.CharField(source="job_filter")
    created_at = serializers.DateTimeField()
    rotated_at = serializers.DateTimeField(allow_null=True, help_text="When its secret was last replaced.")


class ShownSecretSerializer(serializers.Serializer[ShownSecret]):
    """A webhook with its secret. Only this response contains the secret."""

    webhook = WebhookSerializer()
    secret = serializers.CharField(help_text="`whsec_` and the key in base64; it verifies the signatures.")


class TestDeliverySerializer(serializers.Serializer[None]):
    """A test delivery that was submitted."""

    job = serializers.UUIDField(help_text="The job that delivers.")


class DeliverySerializer(serializers.Serializer[Delivery]):
    """One attempt to deliver an event to a webhook."""

    id = serializers.UUIDField()
    job = serializers.UUIDField(source="job_id")
    event = serializers.CharField()
    attempt = serializers.IntegerField()
    delivered = serializers.BooleanField(source="is_delivered")
    # An HTTP status, or null if there was no response.
    answer_status = serializers.IntegerField(source="status", allow_null=True)
    error = serializers.CharField()
    answer = serializers.CharField(help_text="The beginning of the response.")
    seconds = serializers.FloatField()
    created_at = serializers.DateTimeField()


class WebhookViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Webhooks: URLs of the tenant that are notified of events."""

    model = Webhook
    serializer_class = WebhookSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.TENANT_VIEW,
        "retrieve": Permission.TENANT_VIEW,
        "deliveries": Permission.JOBS_VIEW,
        "create": Permission.WEBHOOKS_MANAGE,
        "partial_update": Permission.WEBHOOKS_MANAGE,
        "destroy": Permission.WEBHOOKS_MANAGE,
        "rotate": Permission.WEBHOOKS_MANAGE,
        "test": Permission.JOBS_SUBMIT,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"deliveries": LIST}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> QuerySet[Webhook]:
        return super().get_queryset().select_related("tenant")

    @extend_schema(
        operation_id="webhooks_create", request=WebhookWriteSerializer, responses={201: ShownSecretSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a webhook. Its secret is returned in this response only."""
        body = WebhookWriteSerializer.of(request.data)
        shown = create_webhook(tenant=self.tenant, **body.validated_data)
        return Response(ShownSecretSerializer(shown).data, status=201)

    @extend_schema(operation_id="webhooks_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a webhook."""
        webhook = get_webhook(UUID(pk))
        return Response(WebhookSerializer(webhook).data, headers=etag_headers(webhook))

    @extend_schema(operation_id="webhooks_update", request=WebhookWriteSerializer, responses=WebhookSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields of a webhook. Its secret stays the same."""
        webhook = self.begin_edit(lambda: get_webhook(UUID(pk)))
        body = WebhookWriteSerializer.of(request.data, partial=True)
        webhook = update_webhook(webhook_id=webhook.pk, changes=body.validated_data)
        return Response(WebhookSerializer(webhook).data, headers=etag_headers(webhook))

    @extend_schema(operation_id="webhooks_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a webhook. Deliveries that are not yet accepted become dead letters."""
        delete_webhook(webhook=self.begin_edit(lambda: get_webhook(UUID(pk))))
        return Response(status=204)

    @extend_schema(operation_id="webhooks_rotate", request=WhySerializer, responses=ShownSecretSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def rotate(self, request: Request, pk: str) -> Response:
        """Replace a webhook's secret. For a day, deliveries are signed with both the new and the previous secret."""
        body = WhySerializer.of(request.data)
        shown = rotate_secret(webhook_id=UUID(pk), reason=body.validated_data["reason"])
        return Response(ShownSecretSerializer(shown).data)

    @extend_schema(
        operation_id="webhooks_test",
        request=NoBodySerializer,
        responses={202: OpenApiResponse(TestDeliverySerializer, description="The delivery was submitted.")},
    )
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def test(self, request: Request, pk: str) -> Response:
        """Submit a delivery of the event `webhook.test`, to test the webhook."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        job_id = try_webhook(webhook=get_webhook(UUID(pk)))
        return Response(TestDeliverySerializer({"job": job_id}).data, status=202)

    @extend_schema(operation_id="webhooks_deliveries_list", responses=DeliverySerializer(many=True))
    @action(detail=True, serializer_class=DeliverySerializer)
    def deliveries(self, request: Request, pk: str) -> Response:
        """List a webhook's delivery attempts of the last thirty days, newest first."""
        rows = self.filter_queryset(deliveries_of(get_webhook(UUID(pk))))
        return self.get_paginated_response(DeliverySerializer(self.paginate_queryset(rows), many=True).data)
