"""`tenants/me/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.serializers import StopSerializer, TenantSerializer, WhySerializer
from tenants.api.viewsets import TenantViewSet
from tenants.models import Tenant
from tenants.permissions import Permission
from tenants.services.tenants import drain_tenant, pause_tenant, resume_tenant


class OwnTenantViewSet(TenantViewSet):
    """The tenant that the caller acts for."""

    model = Tenant
    serializer_class = TenantSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.TENANT_VIEW,
        "pause": Permission.TENANT_PAUSE,
        "drain": Permission.TENANT_PAUSE,
        "resume": Permission.TENANT_PAUSE,
    }
    pagination_class = None
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="tenants_me_retrieve")
    def retrieve(self, request: Request) -> Response:
        """Show the tenant, its plan and its limits."""
        return Response(self.get_serializer(self.tenant).data)

    @extend_schema(operation_id="tenants_me_pause", request=StopSerializer)
    def pause(self, request: Request) -> Response:
        """Hold the tenant's own work back: it is accepted and waits."""
        return self._answer(pause_tenant(tenant=self.tenant, **self._read(StopSerializer)))

    @extend_schema(operation_id="tenants_me_drain", request=StopSerializer)
    def drain(self, request: Request) -> Response:
        """Accept nothing more of the tenant's own while what is there runs out."""
        return self._answer(drain_tenant(tenant=self.tenant, **self._read(StopSerializer)))

    @extend_schema(operation_id="tenants_me_resume", request=WhySerializer)
    def resume(self, request: Request) -> Response:
        """Let the tenant's work go on, and come again; 409 `stopped_by_platform` where the platform has stopped it."""
        return self._answer(resume_tenant(tenant=self.tenant, **self._read(WhySerializer)))

    def _read(self, serializer_class: type[StopSerializer | WhySerializer]) -> dict[str, Any]:
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return dict(body.validated_data)

    def _answer(self, tenant: Tenant) -> Response:
        return Response(self.get_serializer(tenant).data)
