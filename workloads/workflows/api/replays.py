"""The API view of `workflow-runs/{id}/replay/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.jobs.answers import IDEMPOTENCY_HEADER, parse_idempotency_key
from tenants.access.permissions import Permission
from tenants.api.viewsets import TenantViewSet, Unpaged
from workloads.workflows.api.serializers import NewReplaySerializer, ReplayAnswerSerializer
from workloads.workflows.runs import replay_run


class WorkflowReplayViewSet(Unpaged, TenantViewSet):
    """Replays of workflow runs."""

    permissions: ClassVar[Mapping[str, Permission]] = {"replay": Permission.JOBS_SUBMIT}

    @extend_schema(
        operation_id="workflow_runs_replay",
        request=NewReplaySerializer,
        parameters=[IDEMPOTENCY_HEADER],
        responses={
            201: OpenApiResponse(ReplayAnswerSerializer, description="Accepted."),
            200: OpenApiResponse(ReplayAnswerSerializer, description="Already accepted under the same key."),
        },
    )
    def replay(self, request: Request, pk: str) -> Response:
        """Submit a new run that repeats an ended one from a node; the ended one is not changed."""
        body: dict[str, Any] = NewReplaySerializer.of(request.data).validated_data
        key = parse_idempotency_key(request.headers.get("Idempotency-Key"))
        submission, replay = replay_run(
            tenant=self.tenant, run_id=UUID(pk), idempotency_key=key, is_rate_limited=True, **body
        )
        job = submission.job
        answer = {
            "run": job.pk,
            "job": job.pk,
            "workflow": replay.run.workflow_id,
            "version": replay.pinned.number,
            "replay_of": replay.run.pk,
            "kept": list(replay.kept),
            "run_again": replay.run_again,
        }
        return Response(ReplayAnswerSerializer(answer).data, status=201 if submission.created else 200)
