"""`dead-letters/`: look at what was given up, alone and in groups, and requeue it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from scheduling.api.filters import PAGING_PARAMETERS, DeadLetterGroupQuerySerializer, DeadLetterQuerySerializer
from scheduling.api.responses import (
    includes_waiting,
    masked_faults,
    new_job_response,
    page_response,
)
from scheduling.api.serializers.dead_letters import (
    DeadLetterDetailSerializer,
    DeadLetterGroupsSerializer,
    DeadLetterSerializer,
    RequeueSerializer,
)
from scheduling.api.serializers.jobs import JobAnswerQuerySerializer, StoredJobSerializer
from scheduling.models import DeadLetter
from scheduling.selectors.dead_letter_groups import group_dead_letters
from scheduling.selectors.dead_letters import (
    describe_dead_letter,
    find_dead_letters,
    get_dead_letter,
    walked_dead_letters,
)
from scheduling.services.dead_letters import requeue_dead_letter
from scheduling.services.reveals import reveal_payload
from tenants.api.viewsets import TenantViewSet
from tenants.api.walked_pages import WalkedPagination
from tenants.permissions import Permission
from tenants.request_costs import LIST


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
        # Apart, since a planner that expects few letters joins the tenants before it sorts.
        letters = find_dead_letters(letter_filter).prefetch_related("tenant")
        return page_response(self, letters, DeadLetterSerializer, walked=walked_dead_letters(letter_filter))

    @extend_schema(operation_id="dead_letters_retrieve", responses=DeadLetterDetailSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show one dead letter and its attempts; its payload for callers with `jobs.reveal`, audited as a job's is."""
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
        """List the causes of the letters that wait, by kind and error fingerprint, most letters first."""
        found = group_dead_letters(**DeadLetterGroupQuerySerializer.parse(request.query_params).to_span())
        context = {"names_tenants": self.access.platform_role is not None}
        return Response(DeadLetterGroupsSerializer(found, context=context).data)

    @extend_schema(
        operation_id="dead_letters_requeue",
        request=RequeueSerializer,
        parameters=[JobAnswerQuerySerializer],
        responses={201: OpenApiResponse(StoredJobSerializer, description="A new job, linked to the one that died.")},
    )
    @action(detail=True, methods=["post"])
    def requeue(self, request: Request, pk: str) -> Response:
        """Submit the job anew, linked to the one that died, with the payload of this request if it has one."""
        has_waiting = includes_waiting(request)
        body = RequeueSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        payload = body.validated_data.get("payload")
        self._check_edit(payload)
        with masked_faults(self.access):
            job = requeue_dead_letter(dead_letter_id=UUID(pk), reason=body.validated_data["reason"], payload=payload)
        return new_job_response(request, job, has_waiting=has_waiting)

    def _check_edit(self, payload: Mapping[str, Any] | None) -> None:
        """Whoever may not see payloads writes none."""
        if payload is not None and not self.access.may(Permission.JOBS_REVEAL):
            raise PermissionDenied(
                gettext("Editing a payload needs the right %(needed)s.") % {"needed": Permission.JOBS_REVEAL}
            )
