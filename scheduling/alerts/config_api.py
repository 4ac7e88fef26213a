"""API of rules, contact groups, contacts, routes, owners, silences, messages and objectives.

Without a tenant in the request, platform staff see the rows of all tenants, and create rows of the platform.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.alerts import config
from scheduling.alerts.config_serializers import (
    ContactSerializer,
    MessageSerializer,
    NewContactSerializer,
    request_serializer,
    row_serializer,
)
from scheduling.alerts.rule_config import CONDITION, preview_rule
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
from scheduling.objectives.serializers import ObjectiveSerializer
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, TextField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import SEARCH
from tenants.tenancy.serializers import NoBodySerializer, WhySerializer

_CHANGES = ("create", "partial_update", "destroy")
_READING = dict.fromkeys(("list", "retrieve"), Permission.JOBS_VIEW)
# Fields that refer to rows by name.
_REFERENCES = frozenset({"group", "rule", "escalate_to", "tier"})
_ON_ROW: dict[str, Any] = {"detail": True, "methods": ["post"], "filter_backends": [], "pagination_class": None}
_SilenceSerializer = row_serializer(AlertSilence, "created_by", "ended_by")
_ConditionSerializer = request_serializer("AlertCondition", AlertRule, CONDITION)


class ConfigViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Rows of the alerts' configuration: what can be set is in `config.FIELDS`.

    A subclass names its model, and what differs: the permission of changes, the serializer of rows, the fields of
    requests that are no columns, and the permissions of further actions.
    """

    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    model: ClassVar[type[models.Model]]
    changes: ClassVar[Permission] = Permission.ALERTS_MANAGE
    shown: ClassVar[Any] = None
    declared: ClassVar[Mapping[str, serializers.Field[Any, Any, Any, Any]]] = {}
    others: ClassVar[Mapping[str, Permission]] = {}
    request_serializer: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fields = config.FIELDS[cls.model]
        why = {} if "reason" in fields else {"reason": NameField(max_length=500, required=False, allow_blank=True)}
        cls.serializer_class = cls.shown or row_serializer(cls.model)
        cls.request_serializer = request_serializer(
            f"{cls.model.__name__}Request", cls.model, fields, **cls.declared, **why
        )
        cls.permissions = {**_READING, **dict.fromkeys(_CHANGES, cls.changes), **cls.others}
        # Further actions of platform staff concern rows of any tenant, too.
        cls.over_all_tenants = frozenset({*_CHANGES, *cls.others})

    def get_queryset(self) -> QuerySet[Any]:
        references = _REFERENCES & {*config.FIELDS[self.model]}
        return super().get_queryset().select_related("tenant", *references)

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
        for name in _REFERENCES & values.keys():
            if values[name] is not None:
                values[name] = config.find_named(row, name, values[name])
        others = {name: values.pop(name) for name in values.keys() - set(config.FIELDS[self.model])}
        return config.save(row, values, **others)

    def _find(self, pk: str) -> Any:
        return config.find(self.model, UUID(pk))  # type: ignore[type-var]

    def _answer(self, row: Any, *, status: int = 200) -> Response:
        shown = self.get_serializer_class()(row).data
        return Response(shown, status=status, headers=etag_headers(row))


class ContactGroupViewSet(ConfigViewSet):
    """Groups of contacts that are notified together."""

    model = ContactGroup


class ContactViewSet(ConfigViewSet):
    """Contacts of the groups. A target is never shown; the secret of a signed webhook is, when it is created."""

    model, shown = Contact, ContactSerializer
    declared: ClassVar[Mapping[str, Any]] = {
        "target": TextField(
            max_length=2_000,
            required=False,
            write_only=True,
            help_text="A URL; for mail, addresses of members, separated by commas; for PagerDuty and Opsgenie, a key.",
        ),
        "label": NameField(max_length=60, required=False, help_text="Default: the target's host and last characters."),
    }
    others: ClassVar[Mapping[str, Permission]] = {
        "test": Permission.ALERTS_RESPOND,
        "enable": Permission.ALERTS_MANAGE,
    }

    def create(self, request: Request) -> Response:
        """Create a contact. Only this response contains the secret of a signed webhook."""
        contact = self._save(Contact(), is_partial=False)
        return Response(NewContactSerializer(contact).data, status=201, headers=etag_headers(contact))

    @extend_schema(operation_id="contacts_test", request=NoBodySerializer, responses={202: MessageSerializer})
    @action(**_ON_ROW)
    def test(self, request: Request, pk: str) -> Response:
        """Send a test; `alert-messages/{id}/` shows its result."""
        NoBodySerializer.of(request.data)
        return Response(MessageSerializer(config.send_test(self._find(pk))).data, status=202)

    @extend_schema(operation_id="contacts_enable", request=WhySerializer, responses=ContactSerializer)
    @action(**_ON_ROW)
    def enable(self, request: Request, pk: str) -> Response:
        """Enable a contact that was disabled because its messages failed."""
        body = WhySerializer.of(request.data)
        return self._answer(config.enable(self._find(pk), reason=body.validated_data["reason"]))


class AlertRouteViewSet(ConfigViewSet):
    """Routes of alerts without an owner to groups, by severity, measure, tenant and hours."""

    model = AlertRoute


class AlertOwnerViewSet(ConfigViewSet):
    """Groups that own a queue, a kind or a template."""

    model = AlertOwner


class AlertSilenceViewSet(ConfigViewSet):
    """Silences and maintenance windows."""

    model, shown, changes = AlertSilence, _SilenceSerializer, Permission.ALERTS_RESPOND
    others: ClassVar[Mapping[str, Permission]] = {"end": Permission.ALERTS_RESPOND}

    @extend_schema(operation_id="alert_silences_end", request=WhySerializer, responses=_SilenceSerializer)
    @action(**_ON_ROW)
    def end(self, request: Request, pk: str) -> Response:
        """End a silence now."""
        body = WhySerializer.of(request.data)
        return self._answer(config.end_silence(self._find(pk), reason=body.validated_data["reason"]))


class ObjectiveViewSet(ConfigViewSet):
    """Objectives, with their counts, error budgets and burn rates."""

    model, shown = Objective, ObjectiveSerializer


class BacktestSerializer(serializers.Serializer[Any]):
    """When a rule would have fired since `since`; null without history."""

    verdict = serializers.CharField(help_text="`ok`, `never`, `always`, `storm` or `unknown`.")
    count = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True)
    sentence = serializers.CharField()
    warning = serializers.CharField(help_text="Why saving such a rule must be confirmed, or empty.")
    spans = serializers.ListField(child=serializers.JSONField(), help_text="The newest ones.")


class AlertRuleViewSet(ConfigViewSet):
    """Alert rules. `origin` names one that is shipped."""

    model, shown = AlertRule, row_serializer(AlertRule, "origin", "changed_at", "backtest")
    declared: ClassVar[Mapping[str, Any]] = {
        "confirm": serializers.BooleanField(
            source="is_confirmed", required=False, help_text="Save it even if its backtest warns that it is of no use."
        )
    }
    # It stores nothing.
    others: ClassVar[Mapping[str, Permission]] = {"preview": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"preview": SEARCH}

    @extend_schema(operation_id="alert_rules_preview", request=_ConditionSerializer, responses=BacktestSerializer)
    @action(**{**_ON_ROW, "detail": False})
    def preview(self, request: Request) -> Response:
        """Return when a rule with this condition would have fired; store nothing."""
        values = _ConditionSerializer.of(request.data).validated_data
        return Response(BacktestSerializer(preview_rule(values)).data)


class AlertMessageViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Messages to contacts, newest first, with the result of their delivery."""

    model, serializer_class = AlertMessage, MessageSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = _READING

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().select_related("tenant")


def _described(path: str, view: type[ConfigViewSet]) -> type[ConfigViewSet]:
    """Describe the operations of a view in the schema, by their ids' beginning; return the view."""
    name, read, write = path.replace("-", "_"), view.serializer_class, view.request_serializer
    created = NewContactSerializer if view is ContactViewSet else read
    deleted = {204: OpenApiResponse(description="Deleted.")}
    described: type[ConfigViewSet] = extend_schema_view(
        list=extend_schema(operation_id=f"{name}_list"),
        create=extend_schema(operation_id=f"{name}_create", request=write, responses={201: created}),
        retrieve=extend_schema(operation_id=f"{name}_retrieve", responses=read),
        partial_update=extend_schema(operation_id=f"{name}_update", request=write, responses=read),
        destroy=extend_schema(operation_id=f"{name}_destroy", responses=deleted),
    )(view)
    return described


_VIEWS: dict[str, type[ConfigViewSet]] = {
    "alert-rules": AlertRuleViewSet,
    "contact-groups": ContactGroupViewSet,
    "alert-routes": AlertRouteViewSet,
    "alert-owners": AlertOwnerViewSet,
    "alert-silences": AlertSilenceViewSet,
    "contacts": ContactViewSet,
    "objectives": ObjectiveViewSet,
}
CONFIG_VIEWS = {path: _described(path, view) for path, view in _VIEWS.items()}
