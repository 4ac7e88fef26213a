"""`dead-letters/`: list, groups and requeue of jobs that were given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import (
    PAGING_PARAMETERS,
    DeadLetterGroupQuerySerializer,
    DeadLetterQuerySerializer,
    page_response,
)
from scheduling.jobs.answers import StoredJobSerializer, includes_waiting, mask_validation_errors, new_job_response
from scheduling.jobs.dead_letters.groups import DeadLetterGroup, group_dead_letters
from scheduling.jobs.dead_letters.queries import (
    Attempt,
    DeadLetterDetail,
    describe_dead_letter,
    find_dead_letters,
    get_dead_letter,
    scan_dead_letters,
)
from scheduling.jobs.dead_letters.service import requeue_dead_letter
from scheduling.jobs.history import EXECUTION_STATES
from scheduling.jobs.reveals import reveal_payload
from scheduling.jobs.serializers import ErrorSerializer, JobAnswerQuerySerializer
from scheduling.models import DeadLetter
from tenants.access.permissions import Permission
from tenants.api.input import NameField, StrictSerializer
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.limits.declared import LIST


class DeadLetterSerializer(serializers.Serializer[DeadLetter]):
    """A job that will not run again by itself, with the reason."""

    id = serializers.UUIDField()
    tenant = serializers.CharField(source="tenant.slug")
    job = serializers.UUIDField(source="job_id")
    kind = serializers.CharField()
    reason = serializers.ChoiceField(choices=DeadLetter.Reason.values)
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    requeued_at = serializers.DateTimeField(allow_null=True)
    requeued_job = serializers.UUIDField(source="requeued_job_id", allow_null=True)

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, letter: DeadLetter) -> Any:
        return ErrorSerializer(letter).data if letter.error_type else None


class AttemptErrorSerializer(serializers.Serializer[Attempt]):
    """The error that an attempt ended with."""

    type = serializers.CharField(source="execution.error_type")
    message = serializers.CharField(source="execution.error_message")
    fingerprint = serializers.CharField()


class AttemptSerializer(serializers.Serializer[Attempt]):
    """One dispatch of the job; its traceback is at `executions/{id}/`."""

    execution = serializers.UUIDField(source="execution.id")
    number = serializers.IntegerField(source="execution.number")
    state = serializers.ChoiceField(choices=EXECUTION_STATES, source="execution.state", help_text="Outcome.")
    worker = serializers.UUIDField(source="execution.worker_id", allow_null=True)
    worker_name = serializers.CharField(source="worker", help_text="Empty if the worker was pruned.")
    dispatched_at = serializers.DateTimeField(source="execution.dispatched_at")
    started_at = serializers.DateTimeField(source="execution.started_at", allow_null=True)
    ended_at = serializers.DateTimeField(source="execution.ended_at", allow_null=True)
    error = serializers.SerializerMethodField()

    @extend_schema_field(AttemptErrorSerializer(allow_null=True))
    def get_error(self, attempt: Attempt) -> Any:
        return AttemptErrorSerializer(attempt).data if attempt.execution.error_type else None


class DeadLetterDetailSerializer(DeadLetterSerializer):
    """A dead letter with its attempts.

    The serializer's `context` holds the `detail`, and whether it `reveals` the payload.
    """

    attempt = serializers.SerializerMethodField(help_text="Attempts that have started.")
    max_retries = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField(help_text="Null if it is masked.")
    is_masked = serializers.SerializerMethodField(help_text="Whether the caller may not see the payload.")
    attempts = serializers.SerializerMethodField(help_text="The newest 50, the last one first.")
    has_more_attempts = serializers.SerializerMethodField(help_text="All are at `jobs/{id}/executions/`.")

    @property
    def _detail(self) -> DeadLetterDetail:
        detail: DeadLetterDetail = self.context["detail"]
        return detail

    def get_attempt(self, letter: DeadLetter) -> int:
        return self._detail.job.started_attempts

    def get_max_retries(self, letter: DeadLetter) -> int:
        return self._detail.job.max_retries

    @extend_schema_field(serializers.DictField(allow_null=True))
    def get_payload(self, letter: DeadLetter) -> Any:
        return self._detail.job.payload if self.context["reveals"] else None

    def get_is_masked(self, letter: DeadLetter) -> bool:
        return not self.context["reveals"]

    @extend_schema_field(AttemptSerializer(many=True))
    def get_attempts(self, letter: DeadLetter) -> Any:
        return AttemptSerializer(self._detail.attempts, many=True).data

    def get_has_more_attempts(self, letter: DeadLetter) -> bool:
        return self._detail.has_more_attempts


class TenantShareSerializer(serializers.Serializer[Any]):
    """How many dead letters of a group belong to one tenant."""

    tenant = serializers.CharField(source="slug")
    count = serializers.IntegerField(source="count.value")


class DeadLetterGroupSerializer(serializers.Serializer[DeadLetterGroup]):
    """Dead letters of one kind and one cause that have not been requeued.

    If the serializer's `context["names_tenants"]` is true, the numbers by tenant are included.
    """

    kind = serializers.CharField()
    fingerprint = serializers.CharField()
    type = serializers.CharField()
    message = serializers.CharField(help_text="Beginning of the last one's message.")
    pattern = serializers.CharField(help_text="The message with `#` for its variable parts.")
    count = serializers.IntegerField(source="count.value")
    count_is_more = serializers.BooleanField(source="count.is_capped", help_text="Whether there are more.")
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    last_dead_letter = serializers.UUIDField(source="last_id")
    last_job = serializers.UUIDField(source="job_id")
    tenants = serializers.SerializerMethodField(help_text="Only for platform staff; otherwise null.")

    @extend_schema_field(TenantShareSerializer(many=True, allow_null=True))
    def get_tenants(self, group: DeadLetterGroup) -> Any:
        return TenantShareSerializer(group.tenants, many=True).data if self.context["names_tenants"] else None


class DeadLetterGroupsSerializer(serializers.Serializer[Any]):
    """Groups of dead letters that have not been requeued, the largest first."""

    results = DeadLetterGroupSerializer(many=True, source="groups")
    is_capped = serializers.BooleanField(help_text="Whether there are more groups than the first 200.")


class RequeueSerializer(StrictSerializer):
    """The parameters of a requeue."""

    payload = serializers.DictField(
        required=False,
        help_text="Replaces the old payload; requires the permission `jobs.reveal`. Must match the kind's schema.",
    )
    reason = NameField(max_length=500, required=False, allow_blank=True, default="", help_text="For the audit log.")


class DeadLetterViewSet(TenantViewSet):
    """Jobs that will not run again by themselves."""

    model = DeadLetter
    serializer_class = DeadLetterSerializer
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.JOBS_VIEW,
        "retrieve": Permission.JOBS_VIEW,
        "groups": Permission.JOBS_VIEW,
        "requeue": Permission.JOBS_RETRY,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"groups": LIST}
    filter_backends: ClassVar[list[Any]] = []
    pagination_class = WalkedPagination

    @extend_schema(
        operation_id="dead_letters_list",
        parameters=[DeadLetterQuerySerializer, *PAGING_PARAMETERS],
        responses=DeadLetterSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List dead letters, newest first."""
        letter_filter = DeadLetterQuerySerializer.parse(request.query_params).to_filter()
        # Separate reads: a planner that expects few letters joins the tenants before it sorts.
        letters = find_dead_letters(letter_filter).prefetch_related("tenant")
        return page_response(self, letters, DeadLetterSerializer, walked=scan_dead_letters(letter_filter))

    @extend_schema(operation_id="dead_letters_retrieve", responses=DeadLetterDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one dead letter with its attempts.

        Callers with `jobs.reveal` also get its payload; if such a caller is platform staff, the audit log records it.
        """
        detail = describe_dead_letter(get_dead_letter(UUID(pk)))
        reveals = self.access.may(Permission.JOBS_REVEAL)
        if reveals and self.access.platform_role is not None:
            reveal_payload(job_id=detail.job.pk, reason="Read over the API.")
        context = {"detail": detail, "reveals": reveals}
        return Response(DeadLetterDetailSerializer(detail.letter, context=context).data)

    @extend_schema(
        operation_id="dead_letters_groups",
        parameters=[DeadLetterGroupQuerySerializer],
        responses=DeadLetterGroupsSerializer,
    )
    @action(detail=False, pagination_class=None)
    def groups(self, request: Request) -> Response:
        """List the causes of dead letters that have not been requeued, the most frequent first.

        Letters with the same kind and error fingerprint have the same cause.
        """
        found = group_dead_letters(**DeadLetterGroupQuerySerializer.parse(request.query_params).to_span())
        context = {"names_tenants": self.access.platform_role is not None}
        return Response(DeadLetterGroupsSerializer(found, context=context).data)

    @extend_schema(
        operation_id="dead_letters_requeue",
        request=RequeueSerializer,
        parameters=[JobAnswerQuerySerializer],
        responses={201: OpenApiResponse(StoredJobSerializer, description="A new job linked to the dead one.")},
    )
    @action(detail=True, methods=["post"])
    def requeue(self, request: Request, pk: str) -> Response:
        """Submit the job again, as a new job linked to the dead one, with the request's `payload` if it has one."""
        has_waiting = includes_waiting(request)
        body = RequeueSerializer.of(request.data)
        payload = body.validated_data.get("payload")
        self._check_edit(payload)
        with mask_validation_errors(self.access):
            job = requeue_dead_letter(dead_letter_id=UUID(pk), reason=body.validated_data["reason"], payload=payload)
        return new_job_response(request, job, has_waiting=has_waiting)

    def _check_edit(self, payload: Mapping[str, Any] | None) -> None:
        """Raise PermissionDenied for a payload from a caller that may not read payloads."""
        if payload is not None and not self.access.may(Permission.JOBS_REVEAL):
            raise PermissionDenied(
                gettext("Editing a payload requires the permission %(needed)s.") % {"needed": Permission.JOBS_REVEAL}
            )
