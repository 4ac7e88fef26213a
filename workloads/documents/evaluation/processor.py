"""The processor of the kind `dataset_evaluation`: it asks questions to a dataset and stores the rank of each answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import batched
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext_noop

from scheduling.kit.base import Complete, Discard, JobContext, Outcome, PermanentError, Snoozed, TaskProcessor, Yielded
from tenants.context import tenant_context
from tenants.database.ids import id_of
from workloads.documents.embedding import Embedder, EndpointRateLimitedError
from workloads.documents.embedding_models import embedder_of, load_embedder
from workloads.documents.evaluation.asking import Asker
from workloads.documents.evaluation.exceptions import EvaluationGoneError
from workloads.documents.evaluation.models import Evaluation
from workloads.documents.evaluation.questions import Question
from workloads.documents.evaluation.repository import append_ranks, read_evaluation, variants_measured
from workloads.documents.one_item.steps import StepContext, embed_texts
from workloads.documents.reranking import RERANK
from workloads.model_endpoints.usage import AnsweredRequest, record_usage

# Questions that are asked and stored at a time: the work that a crash repeats, and the delay of a cancel.
BATCH_QUESTIONS = 16


class DatasetEvaluation(TaskProcessor):
    """Processor of the kind `dataset_evaluation`. Each job evaluates the searches of one dataset."""

    kind = "dataset_evaluation"
    memory_class = "medium"
    title = gettext_noop("Evaluation of a dataset")
    description = gettext_noop("Measures by questions how well searches in a dataset find their answers.")
    payload_schema: ClassVar[Mapping[str, Any]] = {
        "type": "object",
        "properties": {"evaluation_id": {"type": "string", "format": "uuid", "maxLength": 36}},
        "required": ["evaluation_id"],
        "additionalProperties": False,
    }
    timeout_seconds = 900.0
    is_internal = True

    @classmethod
    def preload(cls) -> None:
        """Load the embedding model in the worker's parent process, so that its children share the memory."""
        load_embedder()

    @classmethod
    def subjects_of(cls, payloads: Sequence[Mapping[str, Any]]) -> Sequence[UUID | None]:
        """Return the datasets of the evaluations: their labels limit the regions."""
        named = [id_of(payload.get("evaluation_id")) for payload in payloads]
        rows = Evaluation.objects.filter(pk__in=[one for one in named if one]).values_list("pk", "dataset_id")
        found = dict(rows)
        return [found.get(one) if one else None for one in named]

    def process(self, context: JobContext) -> Outcome:
        evaluation = read_evaluation(context.tenant_id, UUID(context.payload["evaluation_id"]))
        embedder = embedder_of(context.tenant_id, evaluation.dataset.embedding_model)
        asker = Asker(evaluation.dataset, variants_measured(evaluation))
        rest = map(Question.from_json, evaluation.questions[evaluation.questions_done :])
        for questions in batched(rest, BATCH_QUESTIONS):
            try:
                ranks = _ask(context, asker, embedder, questions)
            except EndpointRateLimitedError as limited:
                # The endpoint works and limits its rate: the job gives up its slot for a while and uses no attempt.
                return Snoozed({}, limited.seconds)
            usage = embedder.take_usage()

            def effects(ranks: list[list[int]] = ranks, usage: list[AnsweredRequest] = usage) -> None:
                append_ranks(evaluation, ranks)
                record_usage(context.tenant_id, usage)

            context.checkpoint({}, effects)
            done, total = evaluation.questions_done, evaluation.questions_total
            context.report_progress(done, total, "questions")
            if done < total and context.should_yield():
                return Yielded({})
        context.log("evaluated", questions=evaluation.questions_total)
        return Complete({"evaluation": str(evaluation.pk), "results": evaluation.results})

    def handle_error(self, context: JobContext, error: BaseException) -> Outcome | None:
        """Discard a job whose evaluation was deleted; leave other errors to the platform's policy (None)."""
        if isinstance(error, EvaluationGoneError):
            return Discard(str(error), PermanentError(str(error), code="evaluation_gone"))
        return None


def _ask(context: JobContext, asker: Asker, embedder: Embedder, questions: Sequence[Question]) -> list[list[int]]:
    """Return the ranks of the answers of a batch of questions. Embedding and re-ranking use no database connection."""
    step = StepContext(context.should_yield, context.dependency)
    texts = [question.text for question in questions]
    vectors = embed_texts(embedder, texts, step)
    with tenant_context(context.tenant_id):
        asked = [asker.ask(question, vector) for question, vector in zip(questions, vectors, strict=True)]
    is_reranked = any(variant.is_reranked for variant in asker.variants)
    with context.dependency(RERANK) if is_reranked else nullcontext():
        return [one.rank_answers() for one in asked]
