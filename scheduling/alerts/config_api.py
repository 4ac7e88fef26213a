"""API of contact groups, contacts, routes, owners, silences, messages and objectives.

Platform staff who name no tenant see the rows of all, and make rows of the platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.alerts import config
from scheduling.alerts.config_serializers import (
    ContactRequestSerializer,
    ContactSerializer,
    GroupRequestSerializer,
    GroupSerializer,
    MessageSerializer,
    NewContactSerializer,
    OwnerRequestSerializer,
    OwnerSerializer,
    RouteRequestSerializer,
    RouteSerializer,
    SilenceRequestSerializer,
    SilenceSerializer,
)
from scheduling.models import (
    AlertMessage,
    AlertOwner,
    AlertRoute,
    AlertRule,
    AlertSilence,
    Contact,
    ContactGroup,
    Objective,
)
from scheduling.objectives.serializers import ObjectiveRequestSerializer, ObjectiveSerializer
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.context import current_tenant_id
from tenants.tenancy.serializers import NoBodySerializer, WhySerializer

_CHANGES = ("create", "partial_update", "destroy")


class ConfigViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Rows of the alerts' configuration. A subclass names its model, serializers and permissions."""

    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    request_serializer: ClassVar[type[StrictSerializer]]
    over_all_tenants = frozenset({*_CHANGES, "test", "enable", "end"})

    def get_queryset(self) -> QuerySet[Any]:
        related = [name for name in ("group", "rule") if name in self.serializer_class().fields]
        return super().get_queryset().select_related("tenant", *related)

    def create(self, request: Request) -> Response:
        """Create a row."""
        return self._answer(self._save(self.model(), is_partial=False), status=201)

    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a row."""
        return self._answer(self._find(pk))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        return self._answer(self._save(self.begin_edit(lambda: self._find(pk)), is_partial=True))

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a row."""
        config.delete(self.begin_edit(lambda: self._find(pk)))
        return Response(status=204)

    def _save(self, row: Any, *, is_partial: bool) -> Any:
        values = dict(self.request_serializer.of(self.request.data, partial=is_partial).validated_data)
        tenant_id = current_tenant_id() if row._state.adding else row.tenant_id
        for name, model in (("group", ContactGroup), ("rule", AlertRule)):
            if values.get(name) is not None:
                values[name] = config.find_by_name(model, tenant_id, values[name], field=name)
        # The reason of a silence is a field of its own.
        reason = "" if self.model is AlertSilence else values.pop("reason", "")
        return config.save(row, values, reason=reason)

    def _find(self, pk: str) -> Any:
        return config.find(self.model, UUID(pk))  # type: ignore[type-var]

    def _answer(self, row: Any, *, status: int = 200) -> Response:
        shown = self.get_serializer_class()(row).data
        return Response(shown, status=status, headers=etag_headers(row))


def describe_operations(name: str, view: type[ConfigViewSet]) -> type[ConfigViewSet]:
    """Describe the operations of a view in the schema, by their ids' beginning; return the view."""
    read, write = view.serializer_class, view.request_serializer
    deleted = {204: OpenApiResponse(description="Deleted.")}
    described: type[ConfigViewSet] = extend_schema_view(
        create=extend_schema(operation_id=f"{name}_create", request=write, responses={201: read}),
        retrieve=extend_schema(operation_id=f"{name}_retrieve", responses=read),
        partial_update=extend_schema(operation_id=f"{name}_update", request=write, responses=read),
        destroy=extend_schema(operation_id=f"{name}_destroy", responses=deleted),
    )(view)
    return described


def rights(change: Permission, **others: Permission) -> Mapping[str, Permission]:
    """Return the permissions of the actions of a view."""
    reading = dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW)
    return {**reading, **dict.fromkeys(_CHANGES, change), **others}


class ContactGroupViewSet(ConfigViewSet):
    """Groups of contacts that are notified together."""

    model, serializer_class, request_serializer = ContactGroup, GroupSerializer, GroupRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE)


class ContactViewSet(ConfigViewSet):
    """Contacts of the groups. A target is never shown; the secret of a signed webhook is, when it is created."""

    model, serializer_class, request_serializer = Contact, ContactSerializer, ContactRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE, test=Permission.ALERTS_RESPOND, enable=Permission.ALERTS_MANAGE)

    @extend_schema(
        operation_id="contacts_create", request=ContactRequestSerializer, responses={201: NewContactSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a contact. Only this response contains the secret of a signed webhook."""
        contact = self._save(Contact(), is_partial=False)
        return Response(NewContactSerializer(contact).data, status=201, headers=etag_headers(contact))

    @extend_schema(operation_id="contacts_test", request=NoBodySerializer, responses={202: MessageSerializer})
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def test(self, request: Request, pk: str) -> Response:
        """Send a test; `alert-messages/{id}/` shows its result."""
        NoBodySerializer.of(request.data)
        return Response(MessageSerializer(config.send_test(self._find(pk))).data, status=202)

    @extend_schema(operation_id="contacts_enable", request=WhySerializer, responses=ContactSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def enable(self, request: Request, pk: str) -> Response:
        """Enable a contact that was disabled because its messages failed."""
        body = WhySerializer.of(request.data)
        return self._answer(config.enable(self._find(pk), reason=body.validated_data["reason"]))


class AlertRouteViewSet(ConfigViewSet):
    """Routes of alerts without an owner to groups, by severity, measure, tenant and hours."""

    model, serializer_class, request_serializer = AlertRoute, RouteSerializer, RouteRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE)


class AlertOwnerViewSet(ConfigViewSet):
    """Groups that own a queue, a kind or a template."""

    model, serializer_class, request_serializer = AlertOwner, OwnerSerializer, OwnerRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE)


class AlertSilenceViewSet(ConfigViewSet):
    """Silences and maintenance windows."""

    model, serializer_class, request_serializer = AlertSilence, SilenceSerializer, SilenceRequestSerializer
    permissions = rights(Permission.ALERTS_RESPOND, end=Permission.ALERTS_RESPOND)

    @extend_schema(operation_id="alert_silences_end", request=WhySerializer, responses=SilenceSerializer)
    @action(detail=True, methods=["post"], filter_backends=[], pagination_class=None)
    def end(self, request: Request, pk: str) -> Response:
        """End a silence now."""
        body = WhySerializer.of(request.data)
        return self._answer(config.end_silence(self._find(pk), reason=body.validated_data["reason"]))


class ObjectiveViewSet(ConfigViewSet):
    """Objectives, with their counts, error budgets and burn rates."""

    model, serializer_class, request_serializer = Objective, ObjectiveSerializer, ObjectiveRequestSerializer
    permissions = rights(Permission.ALERTS_MANAGE)


class AlertMessageViewSet(ListModelMixin, TenantViewSet):
    """Messages to contacts, newest first, with the result of their delivery."""

    model, serializer_class = AlertMessage, MessageSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        **dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW),
    }

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant", "contact")

    @extend_schema(operation_id="alert_messages_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a message."""
        return Response(MessageSerializer(self.get_object()).data)


CONFIG_VIEWS = {
    path: describe_operations(path.replace("-", "_"), view)
    for path, view in {
        "contact-groups": ContactGroupViewSet,
        "alert-routes": AlertRouteViewSet,
        "alert-owners": AlertOwnerViewSet,
        "alert-silences": AlertSilenceViewSet,
        "contacts": ContactViewSet,
        "objectives": ObjectiveViewSet,
    }.items()
}
