"""API of `heat-map/`: one measure of ended executions by rows and hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import QuerySerializer
from scheduling.models import SeriesHour
from scheduling.statistics.heat_map import HeatCell, HeatChoice, HeatMap, HeatMeasure, HeatRow, HeatSpan, may_show
from scheduling.statistics.heat_map import read_heat as read_map
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.exceptions import FieldInvalidError
from tenants.limits.declared import LIST


class HeatQuerySerializer(QuerySerializer):
    """Query parameters of the heat map."""

    measure = serializers.ChoiceField(choices=HeatMeasure.values, default=HeatMeasure.ENDED.value)
    rows = serializers.ChoiceField(
        choices=SeriesHour.Scope.values,
        default=SeriesHour.Scope.KIND.value,
        help_text="tenant and worker are for platform staff, without a chosen tenant.",
    )
    range = serializers.ChoiceField(choices=HeatSpan.values, default=HeatSpan.DAY.value)


class HeatCellSerializer(serializers.Serializer[HeatCell]):
    """Value of the measure in the time of one column."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    value = serializers.FloatField(allow_null=True, help_text="Executions or seconds; null if nothing was measured.")


class HeatRowSerializer(serializers.Serializer[HeatRow]):
    """Row of the map: a kind, queue, tenant or worker."""

    name = serializers.CharField()
    label = serializers.CharField()
    cells = HeatCellSerializer(many=True)


class HeatMapSerializer(serializers.Serializer[HeatMap]):
    """The rows with the greatest values."""

    measure = serializers.CharField(source="choice.measure.value")
    rows = HeatRowSerializer(many=True)
    hidden = serializers.IntegerField(help_text="Number of rows with lower values, which are left out.")


class HeatMapViewSet(Unpaged, TenantViewSet):
    """Ended executions of the last 24 hours or 7 days; a tenant sees only its own."""

    model = SeriesHour
    serializer_class = HeatMapSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"retrieve": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"retrieve": LIST}

    @extend_schema(operation_id="heat_map_retrieve", parameters=[HeatQuerySerializer], responses=HeatMapSerializer)
    def retrieve(self, request: Request) -> Response:
        """Return one measure of ended executions by rows and hours."""
        asked = HeatQuerySerializer.parse(request.query_params).validated_data
        rows, tenant = SeriesHour.Scope(asked["rows"]), self.access.tenant
        if not may_show(rows, tenant, self.access):
            raise FieldInvalidError("rows: Only platform staff see rows of tenants and workers, without X-Tenant.")
        choice = HeatChoice(HeatMeasure(asked["measure"]), rows, HeatSpan(asked["range"]), tenant)
        return Response(HeatMapSerializer(read_map(choice)).data)
