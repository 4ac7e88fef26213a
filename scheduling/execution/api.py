"""`executions/{id}/`: one execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.jobs.history import EXECUTION_STATES, ExecutionRecord, get_execution
from scheduling.models import LiveExecution
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged


class ExecutionErrorSerializer(serializers.Serializer[ExecutionRecord]):
    """The error that ended an execution."""

    type = serializers.CharField(source="error_type")
    message = serializers.CharField(source="error_message")


class ExecutionSerializer(serializers.Serializer[ExecutionRecord]):
    """One dispatch of a job to a worker."""

    id = serializers.UUIDField()
    job = serializers.UUIDField(source="job_id")
    number = serializers.IntegerField()
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=EXECUTION_STATES, help_text="Phase in flight, or the outcome.")
    worker = serializers.UUIDField(source="worker_id", allow_null=True)
    dispatched_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True, help_text="Measured slot time.")
    peak_memory_kib = serializers.IntegerField(allow_null=True, help_text="Peak resident memory of its process.")
    cpu_seconds = serializers.FloatField(allow_null=True, help_text="Processor time of its process and of ended ones.")
    io_bytes = serializers.IntegerField(allow_null=True, help_text="Bytes read from and written to storage.")
    error = serializers.SerializerMethodField()

    @extend_schema_field(ExecutionErrorSerializer(allow_null=True))
    def get_error(self, record: ExecutionRecord) -> Any:
        return ExecutionErrorSerializer(record).data if record.error_type else None


class ExecutionDetailSerializer(ExecutionSerializer):
    """One execution with its traceback."""

    traceback = serializers.CharField()


class ExecutionViewSet(Unpaged, TenantViewSet):
    """Dispatches of jobs to workers; those of one job are listed at `jobs/{id}/executions/`."""

    model = LiveExecution
    serializer_class = ExecutionDetailSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"retrieve": Permission.LOGS_VIEW}

    @extend_schema(operation_id="executions_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one execution with its traceback."""
        return Response(ExecutionDetailSerializer(get_execution(UUID(pk))).data)
