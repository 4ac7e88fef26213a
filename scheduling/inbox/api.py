"""`events/` and `event-triggers/`: events of other systems, and the jobs that they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.api import ConfiguredViewSet
from scheduling.configuration.serializers import RowSerializer
from scheduling.inbox.models import MAX_EVENT_KEY_CHARACTERS, MAX_SOURCE_CHARACTERS
from scheduling.inbox.service import EVENT_TRIGGERS, receive_event
from scheduling.kit.emitting import MAX_TOPIC_CHARACTERS, TOPIC
from scheduling.models import InboxEvent
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet


class EventTriggerViewSet(ConfiguredViewSet):
    """Triggers: the kind or the template of the job that an event of a topic starts."""

    path, configured, changes = "event-triggers", EVENT_TRIGGERS, Permission.SCHEDULES_MANAGE


class EventSerializer(RowSerializer):
    """A received event, without its data."""

    class Meta:
        model = InboxEvent
        fields = ("id", "tenant", "source", "event_id", "topic", "jobs", "received_at")


class ReceiptSerializer(RowSerializer):
    """The answer to a sent event."""

    is_duplicate = serializers.BooleanField(help_text="It was received before; its jobs are those of the first time.")

    class Meta:
        model = InboxEvent
        fields = ("id", "tenant", "source", "event_id", "topic", "jobs", "received_at", "is_duplicate")


class NewEventSerializer(StrictSerializer):
    """An event to be received."""

    topic = NameField(max_length=MAX_TOPIC_CHARACTERS, help_text="Such as `order.paid`.")
    source = NameField(max_length=MAX_SOURCE_CHARACTERS, help_text="The system that sends it.")
    id = NameField(max_length=MAX_EVENT_KEY_CHARACTERS, help_text="Its id in the source; it is accepted once.")
    data = serializers.DictField(child=serializers.JSONField(allow_null=True), default=dict)

    def validate_topic(self, topic: str) -> str:
        """Return the topic; raise ValidationError for another text."""
        if not TOPIC.fullmatch(topic):
            raise serializers.ValidationError(
                gettext("Use lower-case letters, digits, dots and underscores; only the end may be .* or *.")
            )
        return topic


class EventViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Events of other systems, newest first. Each starts the jobs of the tenant's triggers once."""

    model, serializer_class = InboxEvent, EventSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
        "create": Permission.JOBS_SUBMIT,
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant")

    @extend_schema(
        operation_id="events_create",
        request=NewEventSerializer,
        responses={201: ReceiptSerializer, 200: ReceiptSerializer},
    )
    def create(self, request: Request) -> Response:
        """Accept an event: 201 and its jobs, or 200 if the source has sent this id in the last seven days."""
        body = NewEventSerializer.of(request.data).validated_data
        receipt = receive_event(
            tenant=self.tenant, topic=body["topic"], source=body["source"], event_id=body["id"], data=body["data"]
        )
        receipt.event.is_duplicate = receipt.is_duplicate  # type: ignore[attr-defined]
        return Response(ReceiptSerializer(receipt.event).data, status=200 if receipt.is_duplicate else 201)
