"""`job-kinds/`: the kinds that may be submitted, with their schemas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.jobs.kinds.service import JobKind, get_job_kind, list_job_kinds
from scheduling.models import Job
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet
from tenants.cache.bounded_cache import BoundedCache


class JobKindSerializer(serializers.Serializer[JobKind]):
    """A kind of job: description, payload schema and requirements."""

    kind = serializers.CharField(help_text="Value of `kind` in a submission.")
    title = serializers.CharField()
    description = serializers.CharField()
    payload_schema = serializers.JSONField(help_text="JSON Schema 2020-12; payloads that do not fit are refused.")
    timeout_seconds = serializers.FloatField(help_text="Time limit of one execution.")
    max_retries = serializers.IntegerField(help_text="Maximum; the plan may allow fewer.")
    retry_delays_seconds = serializers.ListField(child=serializers.FloatField())
    # A string and no enumeration in the schema: other resources have fields of this name with other choices.
    memory_class = serializers.CharField(help_text="`small`, `medium` or `large`: 256, 512 or 1,024 MiB.")
    needs = serializers.ListField(child=serializers.CharField(), help_text="What the pool of its queue must offer.")
    concurrency_limit = serializers.IntegerField(help_text="How many jobs with one concurrency key run at once.")
    settings = serializers.ListField(child=serializers.CharField(), help_text="Tenant settings that it reads.")
    dependencies = serializers.ListField(child=serializers.CharField(), help_text="Dependencies of each of its jobs.")
    queues = serializers.ListField(
        child=serializers.CharField(),
        help_text="Queues of a job with an empty payload, by current routing.",
    )
    is_internal = serializers.BooleanField(
        help_text="Whether only the platform submits its jobs; `jobs/` then refuses the kind."
    )
    package = serializers.CharField(help_text="Package that provides it; empty: the platform itself.")
    package_version = serializers.CharField()


# By tier and language: the kinds, and their representation while the list is the same object.
_shown: BoundedCache[tuple[str, str], tuple[Sequence[JobKind], Any]] = BoundedCache(most=100, seconds=60.0)


class JobKindViewSet(TenantViewSet):
    """The installed kinds of jobs."""

    model = Job
    serializer_class = JobKindSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
    }
    filter_backends: ClassVar[list[Any]] = []
    # Its list has one page.
    orderings = ()
    lookup_field = "kind"
    lookup_value_regex = "[-a-zA-Z0-9_.]{1,64}"

    @extend_schema(operation_id="job_kinds_list", responses=JobKindSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the kinds with their payload schemas."""
        NoQuerySerializer.parse(request.query_params)
        kinds = list_job_kinds(tenant=self.access.tenant)
        return Response({"next": None, "previous": None, "results": self._show(kinds)})

    @extend_schema(operation_id="job_kinds_retrieve")
    def retrieve(self, request: Request, kind: str) -> Response:
        """Show one kind."""
        return Response(self.get_serializer(get_job_kind(kind, tenant=self.access.tenant)).data)

    def _show(self, kinds: Sequence[JobKind]) -> Any:
        if self.access.tenant is None:
            return self.get_serializer(kinds, many=True).data
        key = (self.access.tenant.plan.tier_id, get_language() or "")
        kept = _shown.get(key)
        if kept is not None and kept[0] is kinds:
            return kept[1]
        shown = self.get_serializer(kinds, many=True).data
        _shown.put(key, (kinds, shown))
        return shown
