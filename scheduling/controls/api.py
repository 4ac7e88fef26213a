"""API of `controls/`: the controls, and what one would have held in the last hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.configuration.api import ON_ROW, ConfiguredViewSet
from scheduling.controls.service import CONTROLS, REASON_LIMIT, ControlPreview, preview_control
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.limits.declared import HEAVY
from tenants.tenancy.serializers import NoBodySerializer


class ControlPreviewSerializer(serializers.Serializer[ControlPreview]):
    """What a control would have held in the last hour."""

    jobs = serializers.IntegerField(help_text="Jobs that it covers, of the newest 500.")
    held = serializers.IntegerField()
    is_cut = serializers.BooleanField(help_text="Whether there were more jobs.")


class OverrideControlsSerializer(StrictSerializer):
    """Request to override the controls that hold a job."""

    reason = NameField(max_length=REASON_LIMIT)


class ControlViewSet(ConfiguredViewSet):
    """Compliance rules that jobs are checked against when they are submitted, start, call other hosts, and end."""

    path, configured = "controls", CONTROLS
    changes = Permission.CONTROLS_MANAGE
    others: ClassVar[Mapping[str, Permission]] = {"preview": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"preview": HEAVY}

    @extend_schema(operation_id="controls_preview", request=NoBodySerializer, responses=ControlPreviewSerializer)
    @action(**ON_ROW)
    def preview(self, request: Request, pk: str) -> Response:
        """Return how many jobs of the last hour the control, enabled or not, would have held; change nothing."""
        NoBodySerializer.of(request.data)
        return Response(ControlPreviewSerializer(preview_control(self.find(pk))).data)
