"""API of versions: serializers, and the actions that the view sets of versioned rows share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.input import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet
from tenants.limits.declared import LIST
from tenants.versions.models import VersionFacts
from tenants.versions.queries import versions_of
from tenants.versions.service import Versioned

MAX_NUMBER = 2**31 - 1


class VersionSerializer(serializers.Serializer[VersionFacts]):
    """A version with its whole content, and its difference from the version in effect when it was written."""

    number = serializers.IntegerField()
    author = serializers.CharField()
    reason = serializers.CharField()
    content = serializers.DictField(allow_null=True, help_text="The whole content. Null if it is masked.")
    before = serializers.DictField(help_text="The values that differed from the version in effect when it was written.")
    after = serializers.DictField()
    effective_from = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    outcome = serializers.CharField(help_text="`waiting`, `applied`, `withdrawn` or `refused`.")
    outcome_at = serializers.DateTimeField(allow_null=True)
    outcome_note = serializers.CharField(help_text="Why it was withdrawn or refused.")


class WaitingVersionSerializer(serializers.Serializer[VersionFacts]):
    """A version that will take effect at a scheduled time."""

    number = serializers.IntegerField()
    effective_from = serializers.DateTimeField()


class VersionOptionsSerializer(StrictSerializer):
    """Options that every request for a new version may have."""

    expected_version = WholeNumberField(
        required=False, min_value=1, max_value=MAX_NUMBER, help_text="409 if another version is in effect."
    )
    effective_from = MomentField(required=False, allow_null=True, help_text="Absent or null: at once.")


class PlanEditSerializer(VersionOptionsSerializer):
    """Base of request bodies that change a plan: the options of a new version, and the reason."""

    reason = NameField(max_length=500, required=False, allow_blank=True, default="")

    # The fields that are not the plan's own.
    options = ("reason", "expected_version", "effective_from")

    def split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return two dicts: the new values of the plan's own fields, and the options of the version."""
        given = dict(self.validated_data)
        rest = {name: given.pop(name) for name in self.options if name in given}
        return given, rest


class RollbackSerializer(VersionOptionsSerializer):
    """Request body: the number of the version whose content becomes the next version, and the reason."""

    number = WholeNumberField(min_value=1, max_value=MAX_NUMBER)
    reason = NameField(max_length=500)


class WithdrawalSerializer(StrictSerializer):
    """Request body: the number of the scheduled version to withdraw, and the reason."""

    number = WholeNumberField(min_value=1, max_value=MAX_NUMBER)
    reason = NameField(max_length=500)


class VersionsViewSetMixin(EditedRows):
    """Mixin for view sets of versioned rows: list of versions, rollback and withdrawal.

    `version_operations` names its operations in the OpenAPI schema.
    """

    versioned: ClassVar[Versioned[Any]]
    # The function that finds a row by the arguments of its URL.
    find: ClassVar[Any]

    @action(detail=True, methods=["get"])
    def versions(self: Any, request: Request, **address: str) -> Response:
        """List the versions of the row, newest first."""
        page = self.paginate_queryset(self.filter_queryset(versions_of(self.find(*address.values()))))
        return self.get_paginated_response(self.serialize_versions(page))

    def serialize_versions(self, versions: Sequence[Any]) -> Sequence[Any]:
        """Return the versions as the response has them."""
        rows: Sequence[Any] = VersionSerializer(versions, many=True).data
        return rows

    @action(detail=True, methods=["post"])
    def rollback(self: Any, request: Request, **address: str) -> Response:
        """Make the content of an older version the next version."""
        row = self.find(*address.values())
        self.versioned.roll_back(row, **RollbackSerializer.of(request.data).validated_data)
        return self.answer(row)

    @action(detail=True, methods=["post"])
    def withdraw(self: Any, request: Request, **address: str) -> Response:
        """Withdraw a scheduled version, so that it never takes effect."""
        row = self.find(*address.values())
        self.versioned.withdraw(row, **WithdrawalSerializer.of(request.data).validated_data)
        return self.answer(row)

    def answer(self: Any, row: Any, *, status: int = 200) -> Response:
        """Return a response with the row as it is now, looked up by id because an edit may have renamed it."""
        found = self.get_queryset().get(pk=row.pk)
        return Response(self.get_serializer(found).data, status=status, headers=etag_headers(found))


class PlanEditorViewSet(VersionsViewSetMixin, StaffViewSet):
    """Base of view sets of plans that belong to the platform, not to a tenant, and have versions."""

    request_costs: ClassVar[Mapping[str, int]] = {"versions": LIST}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]

    def list(self, request: Request) -> Response:
        """List all plans."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def begin_plan_edit(self, name: str, options: dict[str, Any]) -> Any:
        """Return the plan to edit, locked against other edits.

        With an `If-Match` header, the version that it names becomes the `expected_version` in ``options``.
        """
        plan = self.begin_edit(lambda: self.find(name))
        if self.is_conditional:
            options.setdefault("expected_version", plan.version)
        return plan


def version_operations(prefix: str) -> dict[str, Any]:
    """Return the arguments for `extend_schema_view` that name the version operations of a view set."""
    return {
        "versions": extend_schema(operation_id=f"{prefix}_versions", responses=VersionSerializer(many=True)),
        "rollback": extend_schema(operation_id=f"{prefix}_rollback", request=RollbackSerializer),
        "withdraw": extend_schema(operation_id=f"{prefix}_withdraw", request=WithdrawalSerializer),
    }


def versioned_permissions(manage: Permission) -> Mapping[str, Permission]:
    """Return the permissions of the actions that every kind of plan has; ``manage`` is that of the changing ones."""
    looks = dict.fromkeys(("list", "retrieve", "versions"), Permission.PLATFORM_VIEW)
    return looks | dict.fromkeys(("create", "partial_update", "rollback", "withdraw"), manage)
