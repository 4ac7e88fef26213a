"""What the API of every kind of plan shares: its versions, rollback, and withdrawal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.editions import EditedRows, etag_headers
from tenants.api.fields import MomentField, NameField, StrictSerializer, WholeNumberField
from tenants.api.pagination import PagingOnly
from tenants.api.viewsets import StaffViewSet
from tenants.models import VersionFacts
from tenants.permissions import Permission
from tenants.request_costs import LIST
from tenants.selectors.plans import versions_of

MAX_NUMBER = 2**31 - 1


class VersionSerializer(serializers.Serializer[VersionFacts]):
    """A plan as a whole, as somebody wanted it from some time on."""

    number = serializers.IntegerField()
    author = serializers.CharField()
    reason = serializers.CharField()
    content = serializers.DictField(help_text="The whole plan.")
    before = serializers.DictField(help_text="What differed from the version in effect when it was written.")
    after = serializers.DictField()
    effective_from = serializers.DateTimeField()
    created_at = serializers.DateTimeField()
    outcome = serializers.CharField(help_text="`waiting`, `applied`, `withdrawn` or `refused`.")
    outcome_at = serializers.DateTimeField(allow_null=True)
    outcome_note = serializers.CharField(help_text="Why it was withdrawn or refused.")


class WaitingVersionSerializer(serializers.Serializer[VersionFacts]):
    """A version that waits for its time."""

    number = serializers.IntegerField()
    effective_from = serializers.DateTimeField()


class VersionOptionsSerializer(StrictSerializer):
    """What goes with every new version."""

    expected_version = WholeNumberField(
        required=False, min_value=1, max_value=MAX_NUMBER, help_text="409 `plan_changed` if another is in effect."
    )
    effective_from = MomentField(required=False, allow_null=True, help_text="Absent or null: at once.")


class PlanEditSerializer(VersionOptionsSerializer):
    """A change of a plan and why it is made."""

    reason = NameField(max_length=500, required=False, allow_blank=True, default="")

    # What is no field of the plan itself.
    options = ("reason", "expected_version", "effective_from")

    def split(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The plan's own new values, and the rest."""
        given = dict(self.validated_data)
        rest = {name: given.pop(name) for name in self.options if name in given}
        return given, rest


class RollbackSerializer(VersionOptionsSerializer):
    """To which version's content a plan goes back, and why."""

    number = WholeNumberField(min_value=1, max_value=MAX_NUMBER)
    reason = NameField(max_length=500)


class WithdrawalSerializer(StrictSerializer):
    """Which version never takes effect, and why."""

    number = WholeNumberField(min_value=1, max_value=MAX_NUMBER)
    reason = NameField(max_length=500)


class VersionedViewSet(EditedRows, StaffViewSet):
    """A kind of plan; subclasses name the services and how a plan is found and shown."""

    request_costs: ClassVar[Mapping[str, int]] = {"versions": LIST}
    filter_backends: ClassVar[list[Any]] = [PagingOnly]
    # Functions: of a plan's name, and of `plan` and the fields of a body.
    find: ClassVar[Any]
    roll_back: ClassVar[Any]
    withdraw_version: ClassVar[Any]

    def list(self, request: Request) -> Response:
        """List the plans."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def versions_response(self, name: str) -> Response:
        """A page of a plan's versions, newest first."""
        page = self.paginate_queryset(self.filter_queryset(versions_of(self.find(name))))
        return self.get_paginated_response(VersionSerializer(page, many=True).data)

    def rollback_response(self, name: str) -> Response:
        """The plan after a rollback."""
        plan = self.find(name)
        self.roll_back(plan=plan, **self.read(RollbackSerializer).validated_data)
        return self.answer(plan)

    def withdraw_response(self, name: str) -> Response:
        """The plan after one of its versions was withdrawn."""
        plan = self.find(name)
        self.withdraw_version(plan=plan, **self.read(WithdrawalSerializer).validated_data)
        return self.answer(plan)

    def begin_plan_edit(self, name: str, options: dict[str, Any]) -> Any:
        """The plan to edit; with `If-Match` at the version that it names, whoever else edits it."""
        plan = self.begin_edit(lambda: self.find(name))
        if self.is_conditional:
            options.setdefault("expected_version", plan.version)
        return plan

    def read(self, serializer_class: type[Any]) -> Any:
        """The body, checked."""
        body = serializer_class(data=self.request.data)
        body.is_valid(raise_exception=True)
        return body

    def answer(self, plan: Any) -> Response:
        """The plan as it is now, whatever it is called by now."""
        row = self.get_queryset().get(pk=plan.pk)
        return Response(self.get_serializer(row).data, headers=etag_headers(row))


def versioned_permissions(manage: Permission) -> Mapping[str, Permission]:
    """The rights of the actions that every kind of plan has."""
    looks = dict.fromkeys(("list", "retrieve", "versions"), Permission.PLATFORM_VIEW)
    return looks | dict.fromkeys(("partial_update", "rollback", "withdraw"), manage)
