"""The `secrets/` endpoint: store, replace and delete secrets; values are never returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField, StrictSerializer, TextField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import TenantViewSet
from tenants.models import TenantSecret
from tenants.secrets.queries import get_secret
from tenants.secrets.references import MAX_NAME_CHARACTERS
from tenants.secrets.service import MAX_HOSTS, MAX_VALUE_CHARACTERS, create_secret, delete_secret, rotate_secret


class SecretSerializer(serializers.ModelSerializer[TenantSecret]):
    """A stored secret; no response contains its value."""

    tenant = serializers.CharField(source="tenant.slug", read_only=True)

    class Meta:
        model = TenantSecret
        fields = [
            "id",
            "tenant",
            "name",
            "hosts",
            "version",
            "created_at",
            "created_by",
            "changed_at",
            "changed_by",
            "last_used_at",
        ]
        read_only_fields = fields


class SecretVersionSerializer(StrictSerializer):
    """Request body: a new value of a secret."""

    value = TextField(max_length=MAX_VALUE_CHARACTERS, trim_whitespace=False, help_text="It is never shown again.")
    hosts = serializers.ListField(
        child=NameField(max_length=255),
        max_length=MAX_HOSTS,
        required=False,
        help_text="The hosts that it is sent to, such as `api.example.com` or `*.example.com`; default: unchanged.",
    )
    reason = NameField(max_length=500, required=False, allow_blank=True, default="", help_text="For the audit log.")


class NewSecretSerializer(StrictSerializer):
    """Request body: a secret to store."""

    name = NameField(max_length=MAX_NAME_CHARACTERS, help_text="It is used as `{{ secrets.name }}`.")
    value = TextField(max_length=MAX_VALUE_CHARACTERS, trim_whitespace=False, help_text="It is never shown again.")
    hosts = serializers.ListField(
        child=NameField(max_length=255),
        max_length=MAX_HOSTS,
        help_text="The hosts that it is sent to, such as `api.example.com` or `*.example.com`.",
    )


class SecretViewSet(ListModelMixin, EditedRows, TenantViewSet):
    """Named credentials that jobs send to other hosts."""

    model = TenantSecret
    serializer_class = SecretSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.SECRETS_USE,
        "retrieve": Permission.SECRETS_USE,
        "create": Permission.SECRETS_MANAGE,
        "add_version": Permission.SECRETS_MANAGE,
        "destroy": Permission.SECRETS_MANAGE,
    }
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def get_queryset(self) -> Any:
        return super().get_queryset().select_related("tenant")

    @extend_schema(operation_id="secrets_create", request=NewSecretSerializer, responses={201: SecretSerializer})
    def create(self, request: Request) -> Response:
        """Store a secret encrypted; answer 409 `no_master_key` if the platform has no key to encrypt it with."""
        body = NewSecretSerializer.of(request.data)
        return _answer(create_secret(tenant=self.tenant, **body.validated_data), status=201)

    @extend_schema(operation_id="secrets_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a secret without its value."""
        return _answer(get_secret(UUID(pk)))

    @extend_schema(operation_id="secrets_destroy", responses={204: OpenApiResponse(description="Deleted.")})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a secret. Jobs that still refer to it fail with `secret_unknown`."""
        delete_secret(secret=self.begin_edit(lambda: get_secret(UUID(pk))))
        return Response(status=204)

    @extend_schema(
        operation_id="secrets_versions_create", request=SecretVersionSerializer, responses={201: SecretSerializer}
    )
    @action(detail=True, methods=["post"], url_path="versions", filter_backends=[], pagination_class=None)
    def add_version(self, request: Request, pk: str) -> Response:
        """Replace the secret's value, and its hosts if they are given. The former value is destroyed."""
        body = SecretVersionSerializer.of(request.data)
        return _answer(rotate_secret(secret_id=UUID(pk), **body.validated_data), status=201)


def _answer(secret: TenantSecret, *, status: int = 200) -> Response:
    return Response(SecretSerializer(secret).data, status=status, headers=etag_headers(secret))
