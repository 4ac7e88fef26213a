"""OpenAPI schema of authentication, the tenant header and problem responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from tenants.api.editions import EDITING_METHODS, IF_MATCH
from tenants.api.problems import MEDIA_TYPE
from tenants.exports.service import CONTENT_TYPES, FORMAT, ORDERING


class FaultSerializer(serializers.Serializer[Any]):
    """One invalid value in a request."""

    code = serializers.CharField()
    detail = serializers.CharField()
    field = serializers.CharField(
        required=False, help_text="The path of the field in the body, with dots; absent if it concerns several fields."
    )
    position = serializers.IntegerField(
        required=False, help_text="The position in a text that cannot be parsed, from 0."
    )
    word = serializers.CharField(required=False, help_text="The text at that position.")
    known = serializers.ListField(
        child=serializers.CharField(), required=False, help_text="The valid texts at that position."
    )
    suggestion = serializers.CharField(required=False, allow_null=True, help_text="The likely intended text.")


class LimitReachedSerializer(serializers.Serializer[Any]):
    """The limit that caused a request to be refused."""

    key = serializers.CharField()
    unit = serializers.CharField()
    allowed = serializers.IntegerField()
    used = serializers.IntegerField()
    left = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True, help_text="null: waiting does not help.")


class ProblemSerializer(serializers.Serializer[Any]):
    """The body of an error response, according to RFC 9457."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="Stable; for use by programs.")
    detail = serializers.CharField()
    errors = FaultSerializer(many=True)
    limit = LimitReachedSerializer(required=False, help_text="Present if a limit was reached.")


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = "tenants.access.caller.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key PREFIX.SECRET`. A key belongs to one tenant, or to the platform.",
        }


class TenantAutoSchema(AutoSchema):
    """Schema generator that adds the X-Tenant header and the problem response to operations, and If-Match to edits."""

    def get_override_parameters(self) -> list[OpenApiParameter]:
        tenant = OpenApiParameter(
            "X-Tenant",
            str,
            OpenApiParameter.HEADER,
            description="The tenant's slug; required for callers with several tenants.",
        )
        if self.method in EDITING_METHODS:
            return [tenant, IF_MATCH]
        return [tenant, *self._list_options()] if getattr(self.view, "action", "") == "list" else [tenant]

    def _list_options(self) -> Iterator[OpenApiParameter]:
        text = "All rows of the list as a file in this format, with the filters of the list."
        yield OpenApiParameter(FORMAT, str, enum=list(CONTENT_TYPES), description=text)
        if names := self.view.orderings if self.view.pagination_class is not None else ():
            both = [sign + name for name in names for sign in ("", "-")]
            yield OpenApiParameter(ORDERING, str, enum=both, description="The order; `-` in front reverses it.")

    def _add_files(self, content: dict[str, Any]) -> None:
        """Add the formats of an exported list; a JSON file has the shape of a page, of all rows."""
        for content_type in CONTENT_TYPES.values():
            content.setdefault(content_type.partition(";")[0], {"schema": {"type": "string"}})

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            problem = self.resolve_serializer(ProblemSerializer(), "response")
            operation["responses"]["default"] = {
                "content": {MEDIA_TYPE: {"schema": problem.ref}},
                "description": "A problem",
            }
            if getattr(self.view, "action", "") == "list":
                self._add_files(operation["responses"]["200"]["content"])
        return operation
