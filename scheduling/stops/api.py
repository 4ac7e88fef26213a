"""API of `kinds/`, `pools/` and `workers/`, and the actions that they share with `queues/`: pause, resume, drain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from scheduling.api.filters import PAGING_PARAMETERS, NoQuerySerializer, page_response
from scheduling.fleet.queries import get_worker, list_workers
from scheduling.fleet.workers import drain_worker, resume_worker
from scheduling.kit import registry
from scheduling.models import KindPause, Worker, WorkerPool
from scheduling.statistics.costs import read_kind_costs
from scheduling.stops import service as stops
from scheduling.stops.queries import TargetState, read_target_state
from scheduling.stops.serializers import (
    KindSerializer,
    NewPoolSerializer,
    PoolChangeSerializer,
    PoolSerializer,
    StopRequestSerializer,
    TargetSerializer,
    WorkerSerializer,
)
from scheduling.stops.service import StopScope
from scheduling.topology.service import create_worker_pool, update_worker_pool
from tenants.access.permissions import Permission
from tenants.api.editions import EditedRows, etag_headers
from tenants.api.viewsets import StaffViewSet
from tenants.context import all_tenants
from tenants.database.clock import read_moment
from tenants.tenancy.serializers import NoBodySerializer, WhySerializer

OPERATE: Mapping[str, Permission] = {
    "list": Permission.PLATFORM_VIEW,
    "retrieve": Permission.PLATFORM_VIEW,
    "pause": Permission.QUEUES_OPERATE,
    "resume": Permission.QUEUES_OPERATE,
    "drain": Permission.QUEUES_OPERATE,
}
EDIT: Mapping[str, Permission] = dict.fromkeys(("create", "partial_update"), Permission.FAIRNESS_MANAGE)
WORKER_ACTIONS = ("list", "retrieve", "drain", "resume")
NAME_PATTERN = "[-a-zA-Z0-9_.]{1,64}"


class StoppableViewSet(EditedRows, StaffViewSet):
    """Base of the resources that can be paused, drained and resumed, addressed by their names."""

    scope: ClassVar[StopScope]
    permissions = OPERATE
    serializer_class = TargetSerializer
    filter_backends: ClassVar[list[Any]] = []
    # Its lists have one page.
    orderings = ()
    lookup_field = "name"
    lookup_value_regex = NAME_PATTERN

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, name: str) -> Response:
        """Pause dispatching; running jobs continue and new jobs wait. A repeated call replaces reason and end."""
        reason, until = self._asked(request)
        stops.check_target(scope=self.scope, name=name)
        stops.pause(scope=self.scope, name=name, reason=reason, until=until)
        return self.answer(name)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, name: str) -> Response:
        """End the pause and the drain, if any."""
        body = WhySerializer.of(request.data)
        stops.resume(scope=self.scope, name=name, reason=body.validated_data["reason"])
        return self.answer(name)

    @action(detail=True, methods=["post"])
    def drain(self, request: Request, name: str) -> Response:
        """Refuse new jobs while existing jobs run to their end. A draining pool only gets no further jobs."""
        reason, until = self._asked(request)
        stops.check_target(scope=self.scope, name=name)
        stops.drain(scope=self.scope, name=name, reason=reason, until=until)
        return self.answer(name)

    def answer(self, name: str) -> Response:
        """Return a response with the present state of the target."""
        return Response(self.get_serializer(self.state_of(name)).data)

    def answer_new(self, name: str) -> Response:
        """Return a 201 response with the state of a new target and its URL in `Location`."""
        answer = self.answer(name)
        answer.status_code = 201
        answer["Location"] = reverse(f"{self.scope.value}-detail", args=[name], request=self.request)
        return answer

    def state_of(self, name: str) -> TargetState:
        """Return pause, drain and progress of a target, over all tenants even if the request names a tenant."""
        with all_tenants():
            return read_target_state(scope=self.scope, name=name, now=read_moment())

    def list_states(self, request: Request, names: list[str]) -> Response:
        """Return a response with the states of these targets on a single page."""
        NoQuerySerializer.parse(request.query_params)
        states = [self.state_of(name) for name in names]
        return Response({"next": None, "previous": None, "results": self.get_serializer(states, many=True).data})

    def _asked(self, request: Request) -> tuple[str, datetime | None]:
        body = StopRequestSerializer.of(request.data)
        return body.validated_data["reason"], body.validated_data["until"]


@extend_schema_view(
    pause=extend_schema(operation_id="kinds_pause", request=StopRequestSerializer),
    resume=extend_schema(operation_id="kinds_resume", request=WhySerializer),
    drain=extend_schema(operation_id="kinds_drain", request=StopRequestSerializer),
)
class KindViewSet(StoppableViewSet):
    """Job kinds, with their pauses and drains over all tenants."""

    model = KindPause
    scope = StopScope.KIND
    serializer_class = KindSerializer

    @extend_schema(operation_id="kinds_list", responses=KindSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the installed kinds."""
        return self.list_states(request, registry.kinds())

    @extend_schema(operation_id="kinds_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Return a kind with its pause, drain and costs."""
        stops.check_target(scope=self.scope, name=name)
        return self.answer(name)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "costs": read_kind_costs()}


@extend_schema_view(
    pause=extend_schema(operation_id="pools_pause", request=StopRequestSerializer),
    resume=extend_schema(operation_id="pools_resume", request=WhySerializer),
    drain=extend_schema(operation_id="pools_drain", request=StopRequestSerializer),
)
class PoolViewSet(StoppableViewSet):
    """Worker pools, with their pauses and drains."""

    model = WorkerPool
    scope = StopScope.POOL
    serializer_class = PoolSerializer
    permissions = {**OPERATE, **EDIT}

    @extend_schema(operation_id="pools_list", responses=PoolSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the pools."""
        return self.list_states(request, list(WorkerPool.objects.values_list("name", flat=True)))

    @extend_schema(operation_id="pools_create", request=NewPoolSerializer, responses={201: PoolSerializer})
    def create(self, request: Request) -> Response:
        """Add a worker pool. It has no workers until some are started with its name."""
        values = dict(NewPoolSerializer.of(request.data).validated_data)
        name, reason = values.pop("name"), values.pop("reason")
        create_worker_pool(name=name, values=values, reason=reason)
        return self.answer_new(name)

    @extend_schema(operation_id="pools_retrieve")
    def retrieve(self, request: Request, name: str) -> Response:
        """Return a pool with its settings, pause and drain."""
        stops.check_target(scope=self.scope, name=name)
        return self.answer(name)

    @extend_schema(operation_id="pools_update", request=PoolChangeSerializer)
    def partial_update(self, request: Request, name: str) -> Response:
        """Change a pool; its resource class only while no worker and no queue needs the old one."""
        stops.check_target(scope=self.scope, name=name)
        values = dict(PoolChangeSerializer.of(request.data).validated_data)
        reason = values.pop("reason")
        pool = self.begin_edit(lambda: WorkerPool.objects.get(name=name))
        update_worker_pool(pool=pool, changes=values, reason=reason)
        return self.answer(name)

    def answer(self, name: str) -> Response:
        answer = super().answer(name)
        answer["ETag"] = etag_headers(WorkerPool.objects.get(name=name))["ETag"]
        return answer

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "pools": {pool.name: pool for pool in WorkerPool.objects.all()}}


class WorkerViewSet(StaffViewSet):
    """Worker processes, newest first."""

    model = Worker
    permissions: ClassVar[Mapping[str, Permission]] = {name: OPERATE[name] for name in WORKER_ACTIONS}
    serializer_class = WorkerSerializer
    filter_backends: ClassVar[list[Any]] = []

    @extend_schema(operation_id="workers_list", parameters=PAGING_PARAMETERS, responses=WorkerSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List workers, including stopped ones."""
        NoQuerySerializer.parse(request.query_params)
        with all_tenants():
            return page_response(self, list_workers(), WorkerSerializer)

    @extend_schema(operation_id="workers_retrieve")
    def retrieve(self, request: Request, pk: str) -> Response:
        """Return a worker."""
        return self._answer(UUID(pk))

    @extend_schema(operation_id="workers_drain", request=WhySerializer)
    @action(detail=True, methods=["post"])
    def drain(self, request: Request, pk: str) -> Response:
        """Stop dispatching to a worker. Its running jobs continue; then it stays idle or exits."""
        body = WhySerializer.of(request.data)
        drain_worker(worker_id=UUID(pk), reason=body.validated_data["reason"])
        return self._answer(UUID(pk))

    @extend_schema(operation_id="workers_resume", request=NoBodySerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Dispatch to a draining worker again."""
        NoBodySerializer(data=request.data).is_valid(raise_exception=True)
        resume_worker(worker_id=UUID(pk))
        return self._answer(UUID(pk))

    def _answer(self, worker_id: UUID) -> Response:
        with all_tenants():
            return Response(WorkerSerializer(get_worker(worker_id)).data)
