"""`job-kinds/`: what may be submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.utils.translation import get_language
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import NoQuerySerializer
from scheduling.api.serializers.job_kinds import JobKindSerializer
from scheduling.models import Job
from scheduling.services.job_kinds import JobKind, get_job_kind, list_job_kinds
from tenants.api.viewsets import TenantViewSet
from tenants.bounded_cache import BoundedCache
from tenants.permissions import Permission

# By tier and language: the kinds, and their representation as long as they are the same list.
_shown: BoundedCache[tuple[str, str], tuple[Sequence[JobKind], Any]] = BoundedCache(most=100, seconds=60.0)


class JobKindViewSet(TenantViewSet):
    """The kinds of job that are installed."""

    model = Job
    serializer_class = JobKindSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
    }
    filter_backends: ClassVar[list[Any]] = []
    lookup_field = "kind"
    lookup_value_regex = "[-a-zA-Z0-9_.]{1,64}"

    @extend_schema(operation_id="job_kinds_list", responses=JobKindSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the kinds with the schemas of their payloads."""
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
