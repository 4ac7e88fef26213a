"""Execution of a run by one start of its job: it gives steps to threads and stores their results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from django.db import Error as DatabaseError

from scheduling.kit.base import MEMORY_MIB, Interrupted, JobContext, MemoryClass, TransientError
from workloads.documents.embedding_models import embedder_of
from workloads.documents.extraction.errors import SandboxUnavailableError
from workloads.documents.extraction.limits import MIB
from workloads.documents.one_item import storing
from workloads.documents.one_item.item import IndexingItem
from workloads.model_endpoints.usage import record_usage
from workloads.pipelines import repository
from workloads.pipelines.adaptive_concurrency import AdaptiveConcurrency
from workloads.pipelines.models import EntityState
from workloads.pipelines.recording import RunRecording
from workloads.pipelines.repository import EntityGoneError, RunEntity, RunPlan
from workloads.pipelines.result_store import EntityResult, StoredBatch, store_results
from workloads.pipelines.steps import thread_context
from workloads.pipelines.thread_pool import PipelineStep, PipelineStepResult, StepThreadPool, StoppedError
from workloads.pipelines.walk import CALLS, Walk

MEMORY_CLASS: MemoryClass = "medium"
# How long the processor waits for its threads before it checks for a cancel, a slice, an entity's backoff.
LOOK_SECONDS = 0.2
# Before an entity's second, third and fourth attempt; an endpoint's own Retry-After counts up to the last of them.
BACK_OFF_SECONDS = (1.0, 5.0, 20.0)
MAX_WAIT_SECONDS = 60.0


@dataclass(slots=True)
class EntityWork:
    """An entity in progress, with the item that its last part has left in memory; ``walk`` is its part in a thread."""

    entity: RunEntity
    item: IndexingItem
    is_busy: bool = False
    is_begun: bool = False
    walk: Walk | None = None
    resumes_at: float = 0.0


class RunExecution:
    """The entities of a job, and their progress in this start of the job."""

    def __init__(
        self,
        context: JobContext,
        plan: RunPlan,
        entities: Sequence[RunEntity],
        crew: StepThreadPool,
        pace: AdaptiveConcurrency,
        *,
        recording: RunRecording,
        ended: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._plan = plan
        self._crew = crew
        self._pace = pace
        self._clock = clock
        self._recording = recording
        self._embedder = embedder_of(plan.tenant_id, plan.embedding_model)
        self._step_context = thread_context(context, self._embedder, crew.check_running)
        self._works = {entity.id: EntityWork(entity, repository.item_of(plan, entity)) for entity in entities}
        self._ended = ended
        self._total = ended + len(entities)
        self._embedding_resumes_at = 0.0
        self.has_stored = False

    @property
    def has_work(self) -> bool:
        """Return whether an entity has not ended yet."""
        return bool(self._works)

    @property
    def is_calling(self) -> bool:
        """Return whether a thread awaits an answer of a model or a host, which is not asked again if it is stored."""
        busy = [work.walk for work in self._works.values() if work.is_busy and work.walk is not None]
        return any(walk.node_type in CALLS for walk in busy)

    def advance(self, *, is_ending: bool = False) -> None:
        """Start as many steps as there is room for, none if the turn is ending, and store the results that have come.

        Wait briefly if no result has arrived yet.
        """
        self._pace.fit(used_mib=resident_mib(), allowed_mib=MEMORY_MIB[MEMORY_CLASS])
        if not is_ending:
            self._start_steps()
        outcomes = self._crew.take(timeout_seconds=LOOK_SECONDS)
        for outcome in outcomes:
            self._works[outcome.step.entity_id].is_busy = False
        of_entities = [outcome for outcome in outcomes if not _is_for_the_run(outcome.error)]
        self._store([outcome for outcome in of_entities if not self._is_put_off(outcome)])
        for outcome in outcomes:
            if _is_for_the_run(outcome.error) and not isinstance(outcome.error, StoppedError):
                assert outcome.error is not None
                raise outcome.error

    def _is_put_off(self, outcome: PipelineStepResult) -> bool:
        """Return True if the embedding endpoint limits its rate: no attempt is counted, and all embedding waits.

        If the endpoint stays down, its circuit breaker makes the whole run wait.
        """
        if self._walk_of(outcome).node_type != "embed" or outcome.error is None or not is_throttled(outcome.error):
            return False
        now = self._clock()
        self._pace.push_back(begun_at=outcome.step.begun_at, now=now)
        self._embedding_resumes_at = now + _wait_asked(outcome.error, otherwise=BACK_OFF_SECONDS[0])
        return True

    @property
    def is_waiting(self) -> bool:
        """Return whether no step is running and none can be started now."""
        return not self._crew.busy and not any(self._choose(self._clock()))

    def _start_steps(self) -> None:
        now = self._clock()
        chosen = list(self._choose(now))
        fresh = [work.entity.id for work in chosen if work.entity.state is EntityState.WAITING]
        if fresh:
            self._context.checkpoint(self._recording.state(), lambda: repository.begin(self._plan, fresh))
        for work in chosen:
            if work.entity.state is EntityState.WAITING:
                work.entity = replace(work.entity, state=EntityState.RUNNING, attempt=work.entity.attempt + 1)
            work.is_busy = work.is_begun = True
            self._crew.give(self._next_part(work, now))

    def _choose(self, now: float) -> Iterator[EntityWork]:
        """Yield entities whose next step is due: first those begun, whose passages are in memory, then new ones as the
        pace allows.
        """
        room = self._pace.width - self._crew.busy
        begun = [work for work in self._works.values() if work.is_begun]
        fresh_room = self._pace.width - len(begun)
        for work in begun:
            if room <= 0:
                return
            if not work.is_busy and self._is_due(work, now):
                room -= 1
                yield work
        for work in self._works.values():
            if min(room, fresh_room) <= 0:
                return
            if not work.is_begun and self._is_due(work, now):
                room, fresh_room = room - 1, fresh_room - 1
                yield work

    def _is_due(self, work: EntityWork, now: float) -> bool:
        return work.resumes_at <= now and (work.item.source is None or self._embedding_resumes_at <= now)

    def _next_part(self, work: EntityWork, now: float) -> PipelineStep:
        entity = work.entity
        # The threads open no connection for it.
        known = storing.read_known_vectors(work.item) if work.item.source is not None else {}
        work.walk = Walk(
            graph=self._plan.graph,
            read_nodes=self._plan.read_nodes,
            item=work.item,
            source=entity.source,
            entity_id=entity.id,
            attempt=entity.attempt,
            stored=entity.nodes,
            outputs=entity.outputs,
            context=self._step_context,
            embedder=self._embedder,
            known=known,
        )
        return PipelineStep(entity.id, work.walk.run, now)

    def _walk_of(self, outcome: PipelineStepResult) -> Walk:
        walk = self._works[outcome.step.entity_id].walk
        assert walk is not None
        return walk

    def _store(self, outcomes: Sequence[PipelineStepResult]) -> None:
        if not outcomes:
            return
        walks = [self._walk_of(outcome) for outcome in outcomes]
        results = [
            EntityResult(self._works[outcome.step.entity_id].entity, walk, outcome.error)
            for walk, outcome in zip(walks, outcomes, strict=True)
        ]
        stored: dict[UUID, StoredBatch] = {}
        usage = self._embedder.take_usage()
        of_nodes = [one for walk in walks for one in walk.usage]
        self._recording.take_usage(of_nodes)
        is_recorded = self._recording.begin_record()

        def effects() -> None:
            stored.update(store_results(self._plan, results))
            record_usage(self._plan.tenant_id, [*usage, *of_nodes])
            self._recording.take_times(walk.seconds for walk in walks)
            if is_recorded:
                self._recording.save()

        try:
            self._context.checkpoint(self._recording.state(), effects)
        finally:
            # It raises when the job is to stop, after it has committed. A step that only read again is no progress: a
            # start that ended with it would be followed by one that reads it again.
            is_ahead = any(result.walk.result != "opened" or result.error is not None for result in results)
            self.has_stored = self.has_stored or (bool(stored) and is_ahead)
        for outcome in outcomes:
            self._take_in(outcome, stored[outcome.step.entity_id])
        self._context.report_progress(self._ended, self._total, "entities")

    def _take_in(self, outcome: PipelineStepResult, stored: StoredBatch) -> None:
        """Take over the entity's new state, and adjust the pace."""
        work = self._works[outcome.step.entity_id]
        work.entity, work.item = stored.entity, stored.item
        walk = self._walk_of(outcome)
        if stored.error is not None:
            self._take_error(outcome.step, work, stored.error)
        elif walk.postponed_seconds is not None:
            work.resumes_at = self._clock() + min(walk.postponed_seconds, MAX_WAIT_SECONDS)
        else:
            self._pace.succeed()
        if stored.has_ended:
            del self._works[work.entity.id]
            self._ended += 1
            error_code = getattr(stored.error, "code", None)
            chunks = work.entity.progress.chunks_done
            self._context.log("entity ended", entity=work.entity.name, chunks=chunks, error=error_code)

    def _take_error(self, step: PipelineStep, work: EntityWork, error: BaseException) -> None:
        work.is_begun = False
        now = self._clock()
        own = BACK_OFF_SECONDS[min(work.entity.attempt, len(BACK_OFF_SECONDS)) - 1]
        work.resumes_at = now + _wait_asked(error, otherwise=own)
        if is_throttled(error):
            self._pace.push_back(begun_at=step.begun_at, now=now)
        if not isinstance(error, EntityGoneError):
            self._context.log(
                "entity failed",
                level="warning",
                entity=work.entity.name,
                node=work.walk.node_id if work.walk else "",
                error=str(error),
            )


def _wait_asked(error: BaseException, *, otherwise: float) -> float:
    """Return the delay that an endpoint asks for, within bounds."""
    asked = getattr(error, "retry_after_seconds", None)
    return min(otherwise if asked is None else float(asked), MAX_WAIT_SECONDS)


def is_throttled(error: BaseException) -> bool:
    """Return whether the error means that an endpoint has limited its rate."""
    if not isinstance(error, TransientError):
        return False
    return error.retry_after_seconds is not None or error.code in {"http_429", "embedding_unavailable"}


def resident_mib() -> float:
    """Return the memory of this process in MiB, with shared pages such as the embedding model; 0 if it is unknown."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def _is_for_the_run(error: BaseException | None) -> bool:
    """Return True if an error concerns the whole run: the platform takes the job back, or the host lacks something."""
    of_host = StoppedError | DatabaseError | SandboxUnavailableError
    return isinstance(error, Interrupted | of_host | SystemExit | KeyboardInterrupt)
