"""API of `schedules/`: create, change, pause, run now, backfill and preview."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer, page_response
from scheduling.exceptions import ScheduleStaleError
from scheduling.jobs.answers import (
    StoredJobSerializer,
    includes_waiting,
    job_response,
    mask_validation_errors,
    new_job_response,
)
from scheduling.jobs.queries import get_job
from scheduling.jobs.serializers import CancellationSerializer, JobAnswerQuerySerializer
from scheduling.models import Schedule, ScheduleFire
from scheduling.schedules.definitions import (
    create_schedule,
    delete_schedule,
    pause_schedule,
    resume_schedule,
    update_schedule,
)
from scheduling.schedules.queries import default_zone, find_schedules, fires_of, get_schedule, preview
from scheduling.schedules.rules import read_timing
from scheduling.schedules.runs import backfill_schedule, run_schedule_now
from scheduling.schedules.serializers import (
    BackfillResultSerializer,
    BackfillSerializer,
    PreviewRequestSerializer,
    PreviewSerializer,
    ScheduleFireSerializer,
    ScheduleSerializer,
    ScheduleWriteSerializer,
)
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.viewsets import TenantViewSet
from tenants.database.clock import read_clock
from tenants.limits.declared import LIST, SEARCH
from tenants.tenancy.serializers import NoBodySerializer, ReasonSerializer


class ScheduleViewSet(EditedRows, TenantViewSet):
    """Schedules: each submits a job at the times of a cron expression, at an interval, or once."""

    model = Schedule
    serializer_class = ScheduleSerializer
    stale_error = ScheduleStaleError
    filter_backends: ClassVar[list[Any]] = []
    permissions: ClassVar[Mapping[str, Permission]] = {
        "list": Permission.SCHEDULES_VIEW,
        "retrieve": Permission.SCHEDULES_VIEW,
        "fires": Permission.SCHEDULES_VIEW,
        "preview": Permission.SCHEDULES_VIEW,
        "create": Permission.SCHEDULES_MANAGE,
        "partial_update": Permission.SCHEDULES_MANAGE,
        "destroy": Permission.SCHEDULES_MANAGE,
        "pause": Permission.SCHEDULES_MANAGE,
        "resume": Permission.SCHEDULES_MANAGE,
        "run_now": Permission.SCHEDULES_MANAGE,
        "backfill": Permission.SCHEDULES_MANAGE,
    }
    request_costs: ClassVar[Mapping[str, int]] = {"fires": LIST, "preview": SEARCH}

    @extend_schema(operation_id="schedules_list", parameters=PAGING_PARAMETERS)
    def list(self, request: Request) -> Response:
        """List schedules, newest first."""
        NoQuerySerializer.parse(request.query_params)
        page = self.paginate_queryset(find_schedules())
        return self.get_paginated_response(self._serialize(page, many=True))

    @extend_schema(
        operation_id="schedules_create", request=ScheduleWriteSerializer, responses={201: ScheduleSerializer}
    )
    def create(self, request: Request) -> Response:
        """Create a schedule, which is enabled at once."""
        body = ScheduleWriteSerializer.of(request.data)
        schedule = create_schedule(tenant=self.tenant, values=body.to_values(), access=self.access)
        answer = self._answer(schedule, status=201)
        answer["Location"] = reverse("schedule-detail", args=[schedule.pk], request=request)
        return answer

    @extend_schema(operation_id="schedules_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a schedule; its ETag is its version."""
        return self._answer(get_schedule(UUID(pk)))

    @extend_schema(
        operation_id="schedules_update",
        request=ScheduleWriteSerializer,
        responses=ScheduleSerializer,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields; times missed under a former timing are not caught up.

        A stale `If-Match` gives 412.
        """
        schedule = self.begin_edit(lambda: get_schedule(UUID(pk)))
        # A pause or a command may have changed it since.
        version = schedule.version if self.is_conditional else None
        body = ScheduleWriteSerializer.of(request.data, partial=True)
        changed = update_schedule(schedule_id=UUID(pk), changes=body.to_values(), version=version, access=self.access)
        return self._answer(changed)

    @extend_schema(operation_id="schedules_delete", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a schedule and its fires; their jobs stay."""
        delete_schedule(schedule_id=self.begin_edit(lambda: get_schedule(UUID(pk))).pk)
        return Response(status=204)

    @extend_schema(operation_id="schedules_pause", request=ReasonSerializer, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Pause a schedule; missed times are not caught up."""
        body = ReasonSerializer.of(request.data)
        return self._answer(pause_schedule(schedule_id=UUID(pk), reason=body.validated_data["reason"]))

    @extend_schema(operation_id="schedules_resume", request=NoBodySerializer, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Resume a schedule; times that passed during the pause are not caught up."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        return self._answer(resume_schedule(schedule_id=UUID(pk)))

    @extend_schema(
        operation_id="schedules_run_now",
        request=CancellationSerializer,
        parameters=[JobAnswerQuerySerializer],
        responses={200: StoredJobSerializer, 201: StoredJobSerializer},
    )
    @action(detail=True, methods=["post"], url_path="run-now")
    def run_now(self, request: Request, pk: str) -> Response:
        """Submit the schedule's job at once, even if an earlier job is unfinished or the schedule is paused.

        If another job has the unique key, that job is returned (200).
        """
        has_waiting = includes_waiting(request)
        body = CancellationSerializer.of(request.data)
        with mask_validation_errors(self.access):
            fire = run_schedule_now(schedule_id=UUID(pk), reason=body.validated_data["reason"], is_rate_limited=True)
        assert fire.job_id is not None  # otherwise it would have been refused
        is_new = fire.outcome == ScheduleFire.Outcome.SUBMITTED
        respond = new_job_response if is_new else job_response
        return respond(request, get_job(fire.job_id), has_waiting=has_waiting)

    @extend_schema(
        operation_id="schedules_backfill",
        request=BackfillSerializer,
        responses={200: OpenApiResponse(BackfillResultSerializer, description="The preview or the result.")},
    )
    @action(detail=True, methods=["post"])
    def backfill(self, request: Request, pk: str) -> Response:
        """Submit a job for each time of a span that has no job; with `dry_run`, the default, only list these times."""
        values = BackfillSerializer.of(request.data).validated_data
        done = backfill_schedule(
            schedule_id=UUID(pk),
            since=values["since"],
            until=values["until"],
            is_dry_run=values["dry_run"],
            reason=values["reason"],
            is_rate_limited=True,
        )
        answer = {
            "dry_run": values["dry_run"],
            "count": len(done.times),
            "fire_times": done.times,
            "skipped": done.skipped,
            "submitted": done.submitted,
            "refused": [{"fire_time": time, "reason": reason} for time, reason in done.refused],
        }
        return Response(BackfillResultSerializer(answer).data)

    @extend_schema(
        operation_id="schedules_fires_list", parameters=PAGING_PARAMETERS, responses=ScheduleFireSerializer(many=True)
    )
    @action(detail=True)
    def fires(self, request: Request, pk: str) -> Response:
        """List the past fires of a schedule with their outcomes, newest first."""
        NoQuerySerializer.parse(request.query_params)
        return page_response(self, fires_of(get_schedule(UUID(pk))), ScheduleFireSerializer)

    @extend_schema(operation_id="schedules_preview", request=PreviewRequestSerializer, responses=PreviewSerializer)
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """Return the given timing in words with its next ten runs and notes on clock changes; save nothing."""
        body = PreviewRequestSerializer.of(request.data)
        values = {"timezone": default_zone(self.tenant.pk), **body.validated_data}
        timing = read_timing(values, now=read_clock())
        runs = preview(timing.recurrence, starts_at=timing.starts_at, ends_at=timing.ends_at)
        answer = {
            "words": str(timing.recurrence.words),
            "timezone": timing.recurrence.zone.key,
            "least_interval_seconds": timing.recurrence.least_interval_seconds(),
            "runs": runs,
        }
        return Response(PreviewSerializer(answer).data)

    def _serialize(self, rows: Any, *, many: bool = False) -> Any:
        """Serialize schedules; include payloads for the tenant's own users with `jobs.reveal`."""
        reveals = self.access.platform_role is None and self.access.may(Permission.JOBS_REVEAL)
        return ScheduleSerializer(rows, many=many, context={"reveals": reveals}).data

    def _answer(self, schedule: Schedule, *, status: int = 200) -> Response:
        return Response(self._serialize(schedule), status=status, headers=etag_headers(schedule))
