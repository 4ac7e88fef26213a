"""API of `diagnosis/`: the checks of the self-diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.diagnosis.service import Check, Diagnosis, diagnose
from scheduling.models import ProcessHeartbeat
from tenants.access.permissions import Permission
from tenants.api.viewsets import StaffViewSet, Unpaged
from tenants.limits.declared import HEAVY

# A string, not an enumeration: other resources have fields of this name with other choices.
_STATES = "`ok`, `warning` or `failure`"


class CheckSerializer(serializers.Serializer[Check]):
    """A check that has run."""

    code = serializers.CharField(help_text="The same in every language; what it is about comes after a full stop.")
    name = serializers.CharField()
    state = serializers.CharField(help_text=f"{_STATES}.")
    measured = serializers.CharField()
    hint = serializers.CharField(help_text="What to do; empty if it is ok.")


class DiagnosisSerializer(serializers.Serializer[Diagnosis]):
    """All checks; a check comes after those that it depends on."""

    state = serializers.CharField(help_text=f"The worst state of the checks: {_STATES}.")
    checks = CheckSerializer(many=True)


class DiagnosisViewSet(Unpaged, StaffViewSet):
    """The self-diagnosis of the platform."""

    model = ProcessHeartbeat
    serializer_class = DiagnosisSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"diagnose": Permission.PLATFORM_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"diagnose": HEAVY}

    @extend_schema(operation_id="diagnosis_retrieve")
    def diagnose(self, request: Request) -> Response:
        """Run all checks and return what they have measured."""
        NoQuerySerializer.parse(request.query_params)
        return Response(DiagnosisSerializer(diagnose()).data)
