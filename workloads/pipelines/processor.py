"""The processor of pipeline runs: it takes many entities at once from their sources to the chunks of documents.

Threads compute; the processor's own thread writes to the database, under the job's fencing token and in batches.
Whatever stops a run, it resumes from what was committed and repeats nothing of that. See docs/how-to/pipelines.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, JobContext, Outcome, PermanentError, TaskProcessor, Yielded
from tenants.database.platform_settings import platform_settings
from workloads.documents.embedding_models import load_embedder
from workloads.documents.exceptions import BatchTooLargeError
from workloads.documents.extraction.errors import SandboxUnavailableError
from workloads.pipelines import repository
from workloads.pipelines.adaptive_concurrency import AdaptiveConcurrency
from workloads.pipelines.recording import RunRecording
from workloads.pipelines.repository import RunGoneError, RunPlan
from workloads.pipelines.run_execution import MEMORY_CLASS, RunExecution
from workloads.pipelines.thread_pool import StepThreadPool

_UUID = {"type": "string", "format": "uuid", "maxLength": 36}
# A longer run gives its slot back and continues in its next slice, long before the timeout.
TURN_SECONDS = 600.0


class RagPipeline(TaskProcessor):
    """Processor of the kind `rag_pipeline`. Each job is one run of a pipeline, or the retry of one entity."""

    kind = "rag_pipeline"
    memory_class = MEMORY_CLASS
    title = gettext_noop("RAG pipeline")
    description = gettext_noop("Makes files, pages and texts searchable by a pipeline's definition.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"run_id": _UUID, "entity_id": _UUID},
        "required": ["run_id"],
        "additionalProperties": False,
    }
    timeout_seconds = 1_800.0
    is_mergeable = False
    # A host or an entity fails, which has its own attempts.
    has_circuit = False

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent process, so that its children share the memory."""
        load_embedder()

    @classmethod
    def subjects_of(cls, payloads: Sequence[Mapping[str, Any]]) -> Sequence[UUID | None]:
        """Return the datasets into which the runs load: their labels limit the regions."""
        return repository.datasets_of([payload.get("run_id") for payload in payloads])

    def process(self, context: JobContext) -> Outcome:
        plan = repository.read_plan(context)
        recording = RunRecording.read(plan, context.state)
        context.checkpoint(context.state, lambda: repository.take_over(plan))
        check_still_allowed(plan)
        ends_at = time.monotonic() + TURN_SECONDS
        entities, ended = repository.read_entities(plan), repository.count_ended(plan)
        context.log("run begins", entities=len(entities), ended=ended)
        with StepThreadPool() as crew:
            pace = AdaptiveConcurrency(platform_settings.PIPELINE_THREADS)
            performance = RunExecution(context, plan, entities, crew, pace, recording=recording, ended=ended)
            is_ending = False
            while performance.has_work:
                performance.advance(is_ending=is_ending)
                is_turn_over = context.should_yield() or time.monotonic() > ends_at
                # Each start stores something, so that a slice that is too short for a step still makes progress.
                is_ending = is_turn_over and (performance.has_stored or performance.is_waiting)
                if is_ending and performance.has_work and not performance.is_calling:
                    return Yielded(recording.state())
        recording.begin_record(is_last=True)
        context.checkpoint(recording.state(), lambda: repository.finish(plan))
        result = repository.read_result(plan)
        context.in_settlement(lambda: recording.save(result))
        return Complete(result)

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Store a permanent error with the run and its open entities.

        Whether the job is retried is the platform's policy (None). If the host has no sandbox, the job waits for
        another worker instead.
        """
        if isinstance(error, SandboxUnavailableError):
            return error.wait_from(context.state)
        if not isinstance(error, PermanentError) or isinstance(error, RunGoneError):
            return None
        context.checkpoint(context.state, lambda: repository.fail_all(context, code=error.code, message=str(error)))
        return None


def check_still_allowed(plan: RunPlan) -> None:
    """Raise `PermanentError` if the plan no longer allows so many entities."""
    if plan.entity_id is None:
        try:
            repository.check_batch(plan)
        except BatchTooLargeError as error:
            raise PermanentError(str(error), code=error.code) from error
