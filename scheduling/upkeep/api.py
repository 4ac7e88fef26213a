"""API of `upkeep/` (tasks with their last runs) and `upkeep-runs/` (runs of tasks over one tenant)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import NoQuerySerializer
from scheduling.models import TenantUpkeepRun, UpkeepRun
from scheduling.upkeep.runs import request_upkeep
from scheduling.upkeep.status import UpkeepStatus, find_upkeep_status, read_upkeep
from scheduling.upkeep.tenant_runs import RunFinding, count_findings, findings_of, request_tenant_run
from tenants.access.permissions import Permission
from tenants.api.input import MomentField, NameField, StrictSerializer
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet, TenantViewSet
from tenants.limits.declared import HEAVY
from tenants.tenancy.serializers import NoBodySerializer


class UpkeepRunSerializer(serializers.Serializer[UpkeepRun]):
    """One run of an upkeep task."""

    outcome = serializers.ChoiceField(
        choices=UpkeepRun.Outcome.choices, help_text="`partial`: the time was used up, and the next run continues."
    )
    started_at = MomentField()
    finished_at = MomentField(allow_null=True)
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Numbers of the run, by name.")
    findings = serializers.SerializerMethodField(help_text="Findings, in the reader's language.")
    error = serializers.SerializerMethodField(help_text="Why it was aborted, if it was.")

    def get_findings(self, run: UpkeepRun) -> list[str]:
        return [sentence.localized for sentence in run.sentences]

    def get_error(self, run: UpkeepRun) -> str:
        return run.error and gettext(run.error)


class UpkeepTaskSerializer(serializers.Serializer[UpkeepStatus]):
    """An upkeep task with its last run."""

    name = serializers.CharField(source="task.name")
    title = serializers.SerializerMethodField(help_text="Title, in the reader's language.")
    text = serializers.SerializerMethodField(help_text="Description, in the reader's language.")
    interval_seconds = serializers.SerializerMethodField()
    is_enabled = serializers.BooleanField(help_text="Whether beat runs it.")
    is_overdue = serializers.BooleanField(help_text="No success within three intervals.")
    due_at = MomentField(allow_null=True)
    succeeded_at = MomentField(allow_null=True)
    last_run = UpkeepRunSerializer(source="last", allow_null=True)

    def get_title(self, line: UpkeepStatus) -> str:
        return gettext(line.task.title)

    def get_text(self, line: UpkeepStatus) -> str:
        return line.task.text and gettext(line.task.text)

    def get_interval_seconds(self, line: UpkeepStatus) -> float:
        """Return the time between two runs, in seconds."""
        return line.interval.total_seconds()


class RunTaskSerializer(StrictSerializer):
    """Request to run an upkeep task over the tenant."""

    task = NameField(max_length=64, help_text="`verify_audit` verifies the tenant's chain of the audit log.")


class RunFindingSerializer(serializers.Serializer[RunFinding]):
    """A fault that a run found."""

    code = serializers.CharField()
    text = serializers.CharField(help_text="Findings, in the reader's language.")
    chain = serializers.UUIDField(allow_null=True)
    sequence = serializers.IntegerField(allow_null=True)
    entry = serializers.UUIDField(allow_null=True)


class TenantRunSerializer(serializers.Serializer[TenantUpkeepRun]):
    """Run of an upkeep task over the tenant, from its request to its end."""

    id = serializers.UUIDField()
    task = serializers.CharField(source="name")
    # A string instead of an enumeration in the schema: the platform's runs have a field of this name with other
    # choices.
    outcome = serializers.CharField(
        help_text="`requested`, `running`, `partial` between two parts; `ok` or `failed` at the end."
    )
    is_open = serializers.BooleanField(help_text="Whether it has not ended.")
    requested_by = serializers.CharField()
    requested_at = MomentField()
    started_at = MomentField(allow_null=True)
    finished_at = MomentField(allow_null=True)
    progress = serializers.FloatField(help_text="Approximate progress, from 0 to 1.")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Numbers of checked rows, by name.")
    finding_count = serializers.SerializerMethodField(help_text="Number of faults found so far.")
    findings = serializers.SerializerMethodField(help_text="The first faults.")
    error = serializers.SerializerMethodField(help_text="Why it was aborted, if it was.")

    def get_finding_count(self, run: TenantUpkeepRun) -> int:
        return count_findings(run)

    @extend_schema_field(RunFindingSerializer(many=True))
    def get_findings(self, run: TenantUpkeepRun) -> list[dict[str, Any]]:
        return list(RunFindingSerializer(findings_of(run), many=True).data)

    def get_error(self, run: TenantUpkeepRun) -> str:
        return run.error and gettext(run.error)


class UpkeepViewSet(StaffViewSet):
    """Upkeep tasks that Celery beat starts for the platform itself."""

    model = UpkeepRun
    serializer_class = UpkeepTaskSerializer
    filter_backends: ClassVar[list[Any]] = []
    # Its list has one page.
    orderings = ()
    lookup_field = "name"
    lookup_value_regex = "[-a-z0-9_]{1,64}"
    permissions = {
        "list": Permission.PLATFORM_VIEW,
        "retrieve": Permission.PLATFORM_VIEW,
        "run": Permission.UPKEEP_RUN,
    }

    @extend_schema(operation_id="upkeep_list", responses=UpkeepTaskSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all tasks with their last runs."""
        NoQuerySerializer.parse(request.query_params)
        lines = UpkeepTaskSerializer(read_upkeep(), many=True).data
        return Response({"next": None, "previous": None, "results": lines})

    @extend_schema(operation_id="upkeep_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Return an upkeep task with its last run."""
        return Response(UpkeepTaskSerializer(find_upkeep_status(name)).data)

    @extend_schema(
        operation_id="upkeep_run",
        request=NoBodySerializer,
        responses={202: OpenApiResponse(UpkeepTaskSerializer, description="The run was requested.")},
    )
    @action(detail=True, methods=["post"])
    def run(self, request: Request, name: str) -> Response:
        """Request a run of a task on the maintenance workers now; its schedule is not changed."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        request_upkeep(name=name)
        return Response(UpkeepTaskSerializer(find_upkeep_status(name)).data, status=202)


class TenantRunViewSet(ListModelMixin, RetrieveModelMixin, TenantViewSet):
    """Runs of upkeep tasks over the tenant, newest first."""

    model = TenantUpkeepRun
    serializer_class = TenantRunSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.AUDIT_VIEW,
        "retrieve": Permission.AUDIT_VIEW,
        "create": Permission.AUDIT_VIEW,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"create": HEAVY}

    @extend_schema(
        operation_id="upkeep_runs_create",
        request=RunTaskSerializer,
        responses={
            202: OpenApiResponse(TenantRunSerializer, "The run was requested."),
            200: OpenApiResponse(TenantRunSerializer, "The run that is already open."),
        },
    )
    def create(self, request: Request) -> Response:
        """Request a run over the tenant, or return the unfinished one; poll its URL until `is_open` is false."""
        asked = RunTaskSerializer.of(request.data)
        requested = request_tenant_run(name=asked.validated_data["task"], tenant=self.tenant)
        answer = Response(self.get_serializer(requested.run).data, status=202 if requested.is_new else 200)
        answer["Location"] = reverse("upkeep-run-detail", args=[requested.run.pk], request=request)
        return answer
