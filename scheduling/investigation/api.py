"""`investigations/`: the suspects for the cause of an alert, of failures or of a spike, and which one it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.serializers import request_serializer
from scheduling.investigation.case import SUBJECT
from scheduling.investigation.service import investigate, record_outcome
from scheduling.models import Investigation
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.limits.declared import SEARCH


class SuspectSerializer(serializers.Serializer[Any]):
    """What may be the cause."""

    title = serializers.CharField()
    score = serializers.FloatField(help_text="From 0 to 1; it orders the suspects, and is no probability.")
    at = serializers.DateTimeField(allow_null=True, help_text="Null: it held at that time.")
    evidence = serializers.ListField(child=serializers.CharField())
    ref = serializers.CharField(help_text="The row to look at, such as `audit:<id>`, or `jobs:<filter>`.")


class InvestigationSerializer(serializers.ModelSerializer[Investigation]):
    """The suspects as they were found, most likely first, and the outcome."""

    suspects = SuspectSerializer(many=True)
    evidence = serializers.JSONField(
        help_text="`{first, state, earlier, unread}`: the first failure, resources, earlier alerts and investigations "
        "with what was done and whether it helped, and sources that were not read in time."
    )

    class Meta:
        model = Investigation
        fields = (
            "id", "alert", "fingerprint", "kind", "queue", "only_tenant", "label", "began_at", "ended_at", "suspects",
            "evidence", "asked_by", "asked_at", "cause", "has_helped", "note", "answered_by",
        )  # fmt: skip


InvestigationRequestSerializer = request_serializer("InvestigationRequest", Investigation, SUBJECT)


class InvestigationOutcomeSerializer(StrictSerializer):
    """Which suspect was the cause, and whether the remedy helped."""

    cause = serializers.IntegerField(
        min_value=1, max_value=100, allow_null=True, help_text="Its number; null: another."
    )
    has_helped = serializers.BooleanField(allow_null=True, default=None)
    note = NameField(max_length=500, required=False, allow_blank=True, default="")


class InvestigationViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Investigations of the tenant; without a tenant in the request, those of the platform and of all tenants."""

    model = Investigation
    serializer_class = InvestigationSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "create": Permission.AUDIT_VIEW,
        "outcome": Permission.ALERTS_RESPOND,
    }
    over_all_tenants = frozenset({"create", "outcome"})
    request_costs: ClassVar[Mapping[str, int]] = {"create": SEARCH}

    @extend_schema(
        operation_id="investigations_create",
        request=InvestigationRequestSerializer,
        responses={201: InvestigationSerializer},
    )
    def create(self, request: Request) -> Response:
        """Find the suspects and store them.

        The subject is an alert; or a fingerprint; or a kind, a queue, a tenant or several of them, with the time of the
        beginning.
        """
        asked = InvestigationRequestSerializer.of(request.data).validated_data
        return Response(InvestigationSerializer(investigate(Investigation(**asked))).data, status=201)

    @extend_schema(
        operation_id="investigations_outcome",
        request=InvestigationOutcomeSerializer,
        responses=InvestigationSerializer,
    )
    @action(detail=True, methods=["post"])
    def outcome(self, request: Request, pk: str) -> Response:
        """Record which suspect was the cause, and whether the remedy helped."""
        values = InvestigationOutcomeSerializer.of(request.data).validated_data
        row = record_outcome(investigation_id=self.get_object().pk, **values)
        return Response(InvestigationSerializer(row).data)
