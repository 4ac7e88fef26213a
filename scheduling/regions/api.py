"""API of `regions/`: what runs in each region, and what stops if it is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.models import WorkerPool
from scheduling.regions.queries import RegionFacts, read_regions
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet, Unpaged


class RegionSerializer(serializers.Serializer[RegionFacts]):
    """A region with its load over all tenants, and the effect of its loss."""

    name = serializers.CharField()
    pools = serializers.ListField(child=serializers.CharField())
    workers = serializers.IntegerField(help_text="Live ones.")
    slots = serializers.IntegerField(help_text="Of live workers; they are lost with the region.")
    slots_left = serializers.IntegerField(help_text="Of live workers elsewhere.")
    in_flight = serializers.IntegerField(help_text="Messages; their jobs are rescued when the leases have expired.")
    waiting = serializers.IntegerField()
    movable_jobs = serializers.IntegerField(help_text="Waiting jobs whose tenants allow another region with slots.")
    stuck_tenants = serializers.IntegerField(help_text="Tenants that allow no other region with slots.")
    stuck_jobs = serializers.IntegerField(help_text="Their waiting jobs here, which stay until the region is back.")
    stuck_slugs = serializers.ListField(child=serializers.CharField(), help_text="Ten of these tenants at most.")


class RegionViewSet(Unpaged, StaffViewSet):
    """Regions of the worker pools."""

    model = WorkerPool
    serializer_class = RegionSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"regions": Permission.PLATFORM_VIEW}
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="regions_list", responses=RegionSerializer(many=True))
    def regions(self, request: Request) -> Response:
        """List the regions that pools are in, each with what stops if it is lost."""
        NoQuerySerializer.parse(request.query_params)
        return Response(RegionSerializer(read_regions(), many=True).data)
