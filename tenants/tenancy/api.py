"""The `tenants/me/` endpoint of the caller's tenant, and `tenants/` for platform staff."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.access.serializers import ApiKeySerializer, InvitationSerializer
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet, TenantViewSet, Unpaged
from tenants.console.links import invitation_link
from tenants.context import all_tenants
from tenants.models import Tenant, TenantStatus
from tenants.tenancy.provisioning import provision_tenant
from tenants.tenancy.queries import find_tenant
from tenants.tenancy.serializers import (
    NewTenantSerializer,
    ProvisionedTenantSerializer,
    StopSerializer,
    SuspensionSerializer,
    TenantChangeSerializer,
    TenantSerializer,
    TenantStopsSerializer,
    WhySerializer,
)
from tenants.tenancy.service import (
    drain_tenant,
    pause_tenant,
    reinstate_tenant,
    resume_tenant,
    suspend_tenant,
    update_tenant,
)


class OwnTenantViewSet(Unpaged, TenantViewSet):
    """The tenant that the caller acts for."""

    model = Tenant
    serializer_class = TenantSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.TENANT_VIEW,
        "pause": Permission.TENANT_PAUSE,
        "drain": Permission.TENANT_PAUSE,
        "resume": Permission.TENANT_PAUSE,
    }

    @extend_schema(operation_id="tenants_me_retrieve")
    def retrieve(self, request: Request) -> Response:
        """Return the tenant, its plan and its limits."""
        return Response(self.get_serializer(self.tenant).data)

    @extend_schema(operation_id="tenants_me_pause", request=StopSerializer)
    def pause(self, request: Request) -> Response:
        """Pause the tenant: its jobs are still accepted, but wait."""
        return self._answer(pause_tenant(tenant=self.tenant, **StopSerializer.of(request.data).validated_data))

    @extend_schema(operation_id="tenants_me_drain", request=StopSerializer)
    def drain(self, request: Request) -> Response:
        """Drain the tenant: new jobs are refused, and existing ones run."""
        return self._answer(drain_tenant(tenant=self.tenant, **StopSerializer.of(request.data).validated_data))

    @extend_schema(operation_id="tenants_me_resume", request=WhySerializer)
    def resume(self, request: Request) -> Response:
        """End a pause and a drain of the tenant; answer 409 `stopped_by_platform` if only the platform may end them."""
        return self._answer(resume_tenant(tenant=self.tenant, **WhySerializer.of(request.data).validated_data))

    def _answer(self, tenant: Tenant) -> Response:
        return Response(self.get_serializer(tenant).data)


class PlatformTenantViewSet(EditedRows, StaffViewSet):
    """All tenants, for platform staff, with the suspensions, pauses and drains that stop their work."""

    model = Tenant
    serializer_class = TenantStopsSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PLATFORM_VIEW,
        "retrieve": Permission.PLATFORM_VIEW,
        "create": Permission.TENANTS_MANAGE,
        "partial_update": Permission.TENANTS_MANAGE,
        "suspend": Permission.TENANTS_OPERATE,
        "reinstate": Permission.TENANTS_OPERATE,
        "pause": Permission.TENANTS_OPERATE,
        "resume": Permission.TENANTS_OPERATE,
        "drain": Permission.TENANTS_OPERATE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    lookup_field = "slug"
    # `tenants/me/` is the caller's own.
    lookup_value_regex = "(?!me/)[a-z0-9-]{1,50}"

    @extend_schema(operation_id="tenants_list", responses=TenantStopsSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List all tenants, newest first."""
        with all_tenants():
            page = self.paginate_queryset(self.filter_queryset(Tenant.objects.select_related("plan")))
            return self.get_paginated_response(TenantStopsSerializer(page, many=True).data)

    @extend_schema(operation_id="tenants_retrieve")
    def retrieve(self, request: Request, slug: str) -> Response:
        """Return a tenant with its suspension, pause and drain."""
        return self._answer(find_tenant(slug))

    @extend_schema(
        operation_id="tenants_create",
        request=NewTenantSerializer,
        responses={201: ProvisionedTenantSerializer, 200: ProvisionedTenantSerializer},
    )
    def create(self, request: Request) -> Response:
        """Provision a tenant: create it, invite its owner, and issue its first API key.

        The invitation link, unless it is mailed, and the key's token are returned in this response only. Repeated with
        equal data it answers 200 without them, with other data 409 `slug_taken`.
        """
        wanted = NewTenantSerializer.of(request.data).described()
        made = provision_tenant(wanted=wanted, link_of=partial(invitation_link, self.django_request))
        answer = {
            "tenant": TenantStopsSerializer(made.tenant).data,
            "invitation": made.invitation and {**InvitationSerializer(made.invitation).data, "link": made.link},
            "api_key": made.api_key and {**ApiKeySerializer(made.api_key).data, "token": made.token},
        }
        return Response(answer, status=201 if made.is_new else 200, headers={"Cache-Control": "no-store"})

    @extend_schema(operation_id="tenants_update", request=TenantChangeSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a tenant's name, plan, weight factor, cap or status. The scheduler is notified at once."""
        changes = dict(TenantChangeSerializer.of(request.data).validated_data)
        status, reason = changes.pop("status", None), changes.pop("reason")
        if status is not None and not self.access.may(Permission.TENANTS_OPERATE):
            raise PermissionDenied
        tenant = self.begin_edit(lambda: find_tenant(slug))
        if changes:
            tenant = update_tenant(tenant=tenant, changes=changes, reason=reason)
        if status == TenantStatus.SUSPENDED:
            tenant = suspend_tenant(tenant=tenant, reason=reason)
        elif status is not None:
            tenant = reinstate_tenant(tenant=tenant, reason=reason)
        return self._answer(tenant)

    @extend_schema(operation_id="tenants_suspend", request=SuspensionSerializer)
    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, slug: str) -> Response:
        """Suspend a tenant: no job is accepted or dispatched. Running jobs continue unless `cancel_running`."""
        values = SuspensionSerializer.of(request.data).validated_data
        return self._answer(suspend_tenant(tenant=find_tenant(slug), **values))

    @extend_schema(operation_id="tenants_reinstate", request=WhySerializer)
    @action(detail=True, methods=["post"])
    def reinstate(self, request: Request, slug: str) -> Response:
        """End a tenant's suspension."""
        return self._answer(reinstate_tenant(tenant=find_tenant(slug), **WhySerializer.of(request.data).validated_data))

    @extend_schema(operation_id="tenants_pause", request=StopSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, slug: str) -> Response:
        """Pause a tenant: its jobs are still accepted, but wait."""
        return self._answer(pause_tenant(tenant=find_tenant(slug), **StopSerializer.of(request.data).validated_data))

    @extend_schema(operation_id="tenants_resume", request=WhySerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, slug: str) -> Response:
        """End a tenant's pause and drain. A suspension stays."""
        return self._answer(resume_tenant(tenant=find_tenant(slug), **WhySerializer.of(request.data).validated_data))

    @extend_schema(operation_id="tenants_drain", request=StopSerializer)
    @action(detail=True, methods=["post"])
    def drain(self, request: Request, slug: str) -> Response:
        """Drain a tenant: new jobs are refused, and existing ones run."""
        return self._answer(drain_tenant(tenant=find_tenant(slug), **StopSerializer.of(request.data).validated_data))

    def _answer(self, tenant: Tenant) -> Response:
        return Response(TenantStopsSerializer(tenant).data, headers=etag_headers(tenant))
