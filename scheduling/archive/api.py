"""API of `jobs/{id}/archived/`: a job that retention has deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.archive.queries import describe_job
from scheduling.archive.service import find_object
from scheduling.models import ArchiveObject
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.limits.declared import SEARCH


class ArchivedJobSerializer(serializers.Serializer[Any]):
    """A job of the archive, read only, without its values and log lines: restore it to read them."""

    archived_at = serializers.DateTimeField()
    object = serializers.UUIDField(help_text="The object of the archive that has it.")
    job = serializers.DictField()
    events = serializers.ListField(child=serializers.DictField())
    executions = serializers.ListField(child=serializers.DictField())


class ArchivedJobViewSet(Unpaged, TenantViewSet):
    """Jobs that retention has deleted."""

    model, serializer_class = ArchiveObject, ArchivedJobSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {"retrieve": Permission.JOBS_VIEW}
    request_costs: ClassVar[Mapping[str, int]] = {"retrieve": SEARCH}

    @extend_schema(operation_id="jobs_archived")
    def retrieve(self, request: Request, job_id: str) -> Response:
        """Show a job that was deleted, from the archive; 503 with `Retry-After` if the storage is away."""
        NoQuerySerializer.parse(request.query_params)
        shown = describe_job(find_object(UUID(job_id)), UUID(job_id))
        return Response(ArchivedJobSerializer(shown).data, headers={"Cache-Control": "no-store"})
