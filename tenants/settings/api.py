"""The `tenants/me/settings/` endpoint: a tenant's settings and how they are declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.utils.translation import get_language, gettext
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import NameField
from tenants.api.viewsets import TenantViewSet, Unpaged
from tenants.cache.bounded_cache import BoundedCache
from tenants.exceptions import FieldInvalidError, SettingsStaleError
from tenants.models import TenantSettings
from tenants.settings.schema import (
    SettingGroup,
    all_settings,
    effective_values,
    orphaned_keys,
    read_stored,
    setting_groups,
)
from tenants.settings.service import change_settings

# By language: the declared groups, and their representation as long as they are the same.
_schemas: BoundedCache[str, tuple[Sequence[SettingGroup], Any]] = BoundedCache(
    most=len(settings.LANGUAGES), seconds=3_600.0
)


class SettingsSerializer(serializers.Serializer[Any]):
    """All settings of a tenant, by key."""

    version = serializers.IntegerField(help_text="Incremented with each change; also the ETag.")
    values = serializers.DictField(
        help_text="Every setting with its own value or the default; a secret is shown as a reference."
    )
    changed = serializers.ListField(
        child=serializers.CharField(), help_text="The keys that differ from their defaults."
    )
    orphaned = serializers.ListField(
        child=serializers.CharField(), help_text="Stored keys of plug-ins that are not installed."
    )


class SettingsChangeSerializer(serializers.Serializer[Any]):
    """Request body: new values by key, and keys to reset to their defaults."""

    values = serializers.DictField(required=False, default=dict)
    reset = serializers.ListField(child=serializers.CharField(max_length=200), required=False, default=list)
    reason = NameField(max_length=500, required=False, allow_blank=True, default="")

    def to_internal_value(self, data: Any) -> Any:
        strays = sorted(str(name) for name in data if name not in self.fields) if isinstance(data, Mapping) else []
        if strays:
            fault = {"field": strays[0][:100], "code": "unknown_field", "detail": gettext("There is no such field.")}
            raise FieldInvalidError(f"{fault['field']}: {fault['detail']}", errors=[fault])
        return super().to_internal_value(data)


class SettingDescriptionSerializer(serializers.Serializer[Any]):
    """The declaration of a setting."""

    key = serializers.CharField()
    title = serializers.CharField()
    help_text = serializers.CharField()
    effect = serializers.CharField(help_text="When a change applies.")
    schema = serializers.DictField(help_text="JSON Schema of its value.")
    default = serializers.JSONField(allow_null=True)
    editor = serializers.CharField(help_text="`tenant` or `platform`.")
    is_secret = serializers.BooleanField(help_text="Its value is stored as a secret, bound to the host of `host_of`.")
    host_of = serializers.CharField(help_text="For a secret: the setting with the URL that it belongs to.")
    plan_limit = serializers.CharField(help_text="The plan's limit that it may not exceed; empty: none.")


class SettingGroupSerializer(serializers.Serializer[Any]):
    """The settings that one app or plug-in declares."""

    title = serializers.CharField()
    settings = SettingDescriptionSerializer(many=True)


class TenantSettingsViewSet(EditedRows, Unpaged, TenantViewSet):
    """The settings of the tenant that the caller acts for."""

    model = TenantSettings
    serializer_class = SettingsSerializer
    stale_error = SettingsStaleError
    permissions: ClassVar[Mapping[str, Permission]] = {
        "retrieve": Permission.TENANT_VIEW,
        "describe": Permission.TENANT_VIEW,
        "partial_update": Permission.TENANT_MANAGE,
    }

    @extend_schema(operation_id="tenants_me_settings_retrieve")
    def retrieve(self, request: Request) -> Response:
        """Return every setting with the tenant's own value or the default."""
        return _answer(read_stored(self.tenant.pk))

    @extend_schema(
        operation_id="tenants_me_settings_update",
        request=SettingsChangeSerializer,
        responses=SettingsSerializer,
    )
    def partial_update(self, request: Request) -> Response:
        """Change settings, or reset them to their defaults. Either all changes are stored or none."""
        before = self.begin_edit(lambda: read_stored(self.tenant.pk))
        body = SettingsChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        row = change_settings(
            tenant=self.tenant,
            values=given["values"],
            reset=given["reset"],
            reason=given["reason"],
            # A program or a command may have changed them since.
            version=before.version if self.is_conditional else None,
            by_platform=self.access.may(Permission.TENANTS_MANAGE),
        )
        return _answer(row)

    @extend_schema(operation_id="tenants_me_settings_schema", responses=SettingGroupSerializer(many=True))
    def describe(self, request: Request) -> Response:
        """Return the declarations of all settings: their schemas, defaults, and when a change takes effect."""
        groups, language = setting_groups(), get_language() or ""
        kept = _schemas.get(language)
        if kept is None or kept[0] != groups:
            kept = (groups, SettingGroupSerializer(groups, many=True).data)
            _schemas.put(language, kept)
        return Response(kept[1])


def _answer(row: TenantSettings) -> Response:
    declared = all_settings()
    values = effective_values(row.stored)
    shown = {
        "version": row.version,
        "values": {key: declared[key].shown(value) for key, value in values.items()},
        "changed": [key for key in declared if key in row.stored],
        "orphaned": orphaned_keys(row.stored),
    }
    headers = {**etag_headers(row), "Cache-Control": "private, no-cache"}
    return Response(SettingsSerializer(shown).data, headers=headers)
