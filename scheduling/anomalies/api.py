"""API of anomalies and of what is usual for a series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.anomalies.baselines import learned_of
from scheduling.anomalies.detector import SCALES, Measure
from scheduling.anomalies.models import SCOPES
from scheduling.api.filters import PAGING_PARAMETERS, QuerySerializer, page_response
from scheduling.models import Anomaly, SeriesBaseline
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.exceptions import FieldInvalidError
from tenants.limits.declared import LIST


class AnomalyQuerySerializer(QuerySerializer):
    """Query parameters of the list of anomalies."""

    state = serializers.ChoiceField(choices=["open", "ended"], default=None, help_text="Default: both.")


class AnomalySerializer(serializers.ModelSerializer[Anomaly]):
    """A deviation of a series, or a lasting change of its level."""

    series = serializers.CharField(help_text="Such as kind:noop; of a tenant its id.")
    tenant = serializers.CharField(source="tenant.slug", allow_null=True, default=None, help_text="Null: all tenants.")

    class Meta:
        model = Anomaly
        fields = (
            "id", "series", "tenant", "measure", "is_change", "value", "low", "high", "score", "began_at", "seen_at",
            "ended_at",
        )  # fmt: skip


class AnomalyViewSet(TenantViewSet):
    """Anomalies; a tenant sees those of its own series."""

    model = Anomaly
    serializer_class = AnomalySerializer
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {"list": Permission.JOBS_VIEW}

    @extend_schema(
        operation_id="anomalies_list",
        parameters=[AnomalyQuerySerializer, *PAGING_PARAMETERS],
        responses=AnomalySerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List anomalies, newest first."""
        state = AnomalyQuerySerializer.parse(request.query_params).validated_data["state"]
        rows = self.get_queryset().select_related("tenant")
        return page_response(self, rows.filter(ended_at__isnull=state == "open") if state else rows, AnomalySerializer)


class BaselineQuerySerializer(QuerySerializer):
    """Which series."""

    series = serializers.CharField(max_length=80, help_text="kind:NAME, queue:NAME or tenant:ID.")


class BaselineSerializer(serializers.ModelSerializer[SeriesBaseline]):
    """What is usual for one measure of a series."""

    ranges = serializers.SerializerMethodField(
        help_text="Low, middle and high for each hour of the week from Monday UTC on; with a short history one for all."
    )

    class Meta:
        model = SeriesBaseline
        fields = ("measure", "hours", "learned_at", "ranges")

    def get_ranges(self, row: SeriesBaseline) -> list[list[float]]:
        back = SCALES[Measure(row.measure)].back
        return [[back(x) for x in (usual.low, usual.center, usual.high)] for usual in learned_of(row).ranges]


class BaselinesSerializer(serializers.Serializer[Any]):
    """What is usual for a series; without enough history there are no measures."""

    series = serializers.CharField()
    measures = BaselineSerializer(many=True)


class BaselineViewSet(TenantViewSet):
    """What is usual for a series: of the tenant, or over all tenants."""

    model = SeriesBaseline
    serializer_class = BaselinesSerializer
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {"retrieve": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"retrieve": LIST}

    @extend_schema(
        operation_id="baselines_retrieve", parameters=[BaselineQuerySerializer], responses=BaselinesSerializer
    )
    def retrieve(self, request: Request) -> Response:
        """Return what is usual for each measure of a series."""
        series = BaselineQuerySerializer.parse(request.query_params).validated_data["series"]
        scope, _, name = series.partition(":")
        if scope not in SCOPES:
            raise FieldInvalidError("series: It begins with kind:, queue: or tenant:.")
        rows = self.get_queryset().filter(scope=scope, name=name).order_by("measure")
        if self.access.tenant is None and scope != "tenant":
            rows = rows.filter(tenant=None)
        return Response(BaselinesSerializer({"series": series, "measures": rows}).data)
