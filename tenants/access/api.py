"""The `members/`, `invitations/` and `api-keys/` endpoints of the caller's tenant, and `platform-keys/`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.api_keys import IssuedKey, issue_api_key, revoke_api_key, rotate_api_key
from tenants.access.caller import access_of
from tenants.access.invitation_ends import revoke_invitation
from tenants.access.invitations import invite
from tenants.access.memberships import change_role, remove_member
from tenants.access.permissions import Permission
from tenants.access.serializers import (
    ApiKeySerializer,
    InvitationSerializer,
    IssuedInvitationSerializer,
    IssuedKeySerializer,
    KeyRequestSerializer,
    MemberSerializer,
    NewMemberSerializer,
    PlatformKeyRequestSerializer,
    RevocationSerializer,
    RoleSerializer,
)
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import PlatformPermission, TenantViewSet
from tenants.console.links import invitation_link
from tenants.context import all_tenants
from tenants.database.reads import first_or_raise
from tenants.exceptions import AddressUnknownError
from tenants.models import ApiKey, Invitation, Membership, PlatformKey, Tenant


class OwnRowsViewSet(EditedRows, TenantViewSet):
    """Base of endpoints that look up rows by id in the caller's tenant.

    The id of another tenant's row is answered with 404.
    """

    def row_of(self, pk: str) -> Any:
        """Return the row with that id; raise `AddressUnknownError` (404) if the caller cannot see such a row."""
        return first_or_raise(self.get_queryset().filter(pk=UUID(pk)), AddressUnknownError("There is no such object."))

    def retrieve(self, request: Request, pk: str) -> Response:
        """Return one row."""
        return self.answer(self.row_of(pk))

    def answer(self, row: Any, *, status: int = 200) -> Response:
        """Return a response with the row and its ETag."""
        return Response(self.get_serializer(row).data, status=status, headers=etag_headers(row))


class MemberViewSet(ListModelMixin, OwnRowsViewSet):
    """Members of the tenant and their roles."""

    model = Membership
    serializer_class = MemberSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.MEMBERS_VIEW,
        "retrieve": Permission.MEMBERS_VIEW,
        "create": Permission.MEMBERS_MANAGE,
        "partial_update": Permission.MEMBERS_MANAGE,
        "destroy": Permission.MEMBERS_MANAGE,
    }

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("user", "tenant")

    @extend_schema(
        operation_id="members_invite", request=NewMemberSerializer, responses={201: IssuedInvitationSerializer}
    )
    def create(self, request: Request) -> Response:
        """Invite a person to the tenant.

        The invitation link is either mailed or returned in this response only.
        """
        asked = NewMemberSerializer.of(request.data).validated_data
        link_of = partial(invitation_link, self.django_request)
        issued = invite(tenant=self.tenant, invitee=asked["user"], role=asked["role"], link_of=link_of)
        answer = {**InvitationSerializer(issued.invitation).data, "link": issued.link}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(operation_id="members_change_role", request=RoleSerializer, responses=MemberSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change a member's role. It applies from the member's next request on."""
        membership = self.begin_edit(lambda: self.row_of(pk))
        role = RoleSerializer.of(request.data).validated_data["role"]
        return self.answer(change_role(membership=membership, role=role))

    @extend_schema(operation_id="members_remove", responses={204: OpenApiResponse(description="Removed.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a member. The member's next request has no access to the tenant."""
        remove_member(membership=self.begin_edit(lambda: self.row_of(pk)))
        return Response(status=204)


class InvitationViewSet(ListModelMixin, OwnRowsViewSet):
    """Invitations to the tenant."""

    model = Invitation
    serializer_class = InvitationSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.MEMBERS_VIEW,
        "retrieve": Permission.MEMBERS_VIEW,
        "revoke": Permission.MEMBERS_MANAGE,
    }

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("invited_by", "tenant")

    @extend_schema(operation_id="invitations_revoke", request=RevocationSerializer, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Revoke a pending invitation. An invitation that is accepted or revoked stays unchanged."""
        reason = RevocationSerializer.of(request.data).validated_data["reason"]
        return self.answer(revoke_invitation(invitation=self.row_of(pk), reason=reason))


class ApiKeyViewSet(ListModelMixin, OwnRowsViewSet):
    """API keys of the tenant."""

    model = ApiKey
    serializer_class = ApiKeySerializer
    request_serializer: ClassVar[type[KeyRequestSerializer]] = KeyRequestSerializer
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.API_KEYS_VIEW,
        "retrieve": Permission.API_KEYS_VIEW,
        "create": Permission.API_KEYS_MANAGE,
        "rotate": Permission.API_KEYS_MANAGE,
        "revoke": Permission.API_KEYS_MANAGE,
    }

    def get_queryset(self) -> Any:
        # Over all tenants, the platform's keys are visible, too.
        return super().get_queryset().filter(tenant__isnull=False).select_related("created_by", "tenant")

    @property
    def owner(self) -> Tenant | None:
        """Return whose keys these are: a tenant, or None for the platform."""
        return self.tenant

    @extend_schema(operation_id="api_keys_issue", request=KeyRequestSerializer, responses={201: IssuedKeySerializer})
    def create(self, request: Request) -> Response:
        """Issue an API key. Its token is returned in this response only."""
        return self._show(issue_api_key(tenant=self.owner, **self.request_serializer.of(request.data).validated_data))

    @extend_schema(operation_id="api_keys_rotate", request=RevocationSerializer, responses={201: IssuedKeySerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Issue a new key in place of this one, which stays valid for at most seven more days."""
        reason = RevocationSerializer.of(request.data).validated_data["reason"]
        return self._show(rotate_api_key(api_key=self.row_of(pk), reason=reason))

    def _show(self, issued: IssuedKey) -> Response:
        answer = {**ApiKeySerializer(self.row_of(str(issued.key.pk))).data, "token": issued.token}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})

    @extend_schema(operation_id="api_keys_revoke", request=RevocationSerializer, responses=ApiKeySerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Revoke a key. Requests with it are refused from now on."""
        reason = RevocationSerializer.of(request.data).validated_data["reason"]
        return self.answer(revoke_api_key(api_key=self.row_of(pk), reason=reason))


@extend_schema_view(
    create=extend_schema(
        operation_id="platform_keys_issue", request=PlatformKeyRequestSerializer, responses={201: IssuedKeySerializer}
    ),
    rotate=extend_schema(
        operation_id="platform_keys_rotate", request=RevocationSerializer, responses={201: IssuedKeySerializer}
    ),
    revoke=extend_schema(operation_id="platform_keys_revoke", request=RevocationSerializer, responses=ApiKeySerializer),
)
class PlatformKeyViewSet(ApiKeyViewSet):
    """API keys of the platform, which act as platform staff in all tenants with the permissions of their scopes."""

    model = PlatformKey
    request_serializer = PlatformKeyRequestSerializer
    permission_classes: ClassVar[list[Any]] = [PlatformPermission]
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.PEOPLE_VIEW,
        "retrieve": Permission.PEOPLE_VIEW,
        "create": Permission.PEOPLE_MANAGE,
        "rotate": Permission.PEOPLE_MANAGE,
        "revoke": Permission.PEOPLE_MANAGE,
    }

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Handle the request in the scope of all tenants, whatever tenant it names: these keys belong to none."""
        with all_tenants() if access_of(request).may(Permission.PEOPLE_VIEW) else nullcontext():
            response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def get_queryset(self) -> Any:
        return OwnRowsViewSet.get_queryset(self).filter(tenant=None).select_related("created_by")

    @property
    def owner(self) -> None:
        """Return None, for the platform."""
        return None
