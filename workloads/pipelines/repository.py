"""The processor's database reads and writes of runs and entities.

Reads set the scope of the run's tenant. Writes run in the transaction of the job's checkpoint; they are limited to
entities that still belong to the job, so that a late one changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Model, Sum
from django.db.models.functions import Coalesce, Now
from psycopg.rows import class_row

from scheduling.kit.base import JobContext, PermanentError
from tenants.context import tenant_context
from tenants.database.ids import id_of
from tenants.database.prepared import execute, fetch_all
from tenants.database.reads import first_or_raise
from tenants.database.sql import load_sql
from tenants.encryption.fields import sealed_field
from tenants.models import Tenant
from workloads.documents.batch_limit import check_batch_limit
from workloads.documents.models import Dataset
from workloads.documents.one_item.item import STATE_FIELDS, IndexingItem, IndexingState
from workloads.pipelines.ending import close_entities, end_runs
from workloads.pipelines.indexing_settings import settings_in
from workloads.pipelines.models import (
    OPEN_ENTITIES,
    EntityState,
    PipelineEntity,
    PipelineRun,
    PipelineRunState,
    PipelineVersion,
)
from workloads.pipelines.node_types import PIPELINE
from workloads.workflows.definition.expressions import paths_in
from workloads.workflows.definition.graph import Graph


class RunGoneError(PermanentError):
    """Raised if the run of a job was deleted."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"There is no run {run_id}.", code="run_gone")


class EntityGoneError(Exception):
    """Raised if an entity was deleted, or another job has taken it over."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a job has to do: a run, or one entity of it, with the settings and the dataset."""

    tenant_id: UUID
    job_id: UUID
    run_id: UUID
    entity_id: UUID | None
    graph: Graph
    read_nodes: frozenset[str]
    dataset_id: UUID
    embedding_model: str
    entities_total: int
    version: PipelineVersion


@dataclass(frozen=True, slots=True)
class RunEntity:
    """What a job needs to know of an entity."""

    id: UUID
    position: int
    name: str
    source: Mapping[str, Any]
    state: EntityState
    attempt: int
    nodes: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    progress: IndexingState


@dataclass(frozen=True, slots=True)
class NodeCounts:
    """What the entities of a job have done at one node. ``failed`` are those that ended there in error."""

    node_id: str
    begun: int
    done: int
    failed: int
    skipped: int
    seconds: float
    first_errors: list[str] | None


def read_plan(context: JobContext) -> RunPlan:
    """Return what the job has to do.

    Raise `RunGoneError` if its run was deleted, `PermanentError` if its dataset was.
    """
    run_id = UUID(context.payload["run_id"])
    entity_id = context.payload.get("entity_id")
    with tenant_context(context.tenant_id):
        run = first_or_raise(
            PipelineRun.objects.select_related("version__pipeline").filter(pk=run_id), RunGoneError(run_id)
        )
        dataset = Dataset.objects.filter(pk=run.version.dataset_id).first()
    if dataset is None:
        raise PermanentError("The dataset that this version loads into was deleted.", code="dataset_gone")
    graph = Graph.read(run.version.definition, PIPELINE.types)
    return RunPlan(
        tenant_id=context.tenant_id,
        job_id=context.job_id,
        run_id=run_id,
        entity_id=UUID(entity_id) if entity_id else None,
        graph=graph,
        read_nodes=nodes_read_in(graph),
        dataset_id=dataset.pk,
        embedding_model=dataset.embedding_model,
        entities_total=run.entities_total,
        version=run.version,
    )


def datasets_of(run_ids: Sequence[object]) -> list[UUID | None]:
    """Return for each value from outside the dataset into which the run that it names loads; None without one."""
    named = [id_of(value) for value in run_ids]
    rows = PipelineRun.objects.filter(pk__in={value for value in named if value})
    found = dict(rows.values_list("pk", "version__dataset_id"))
    return [found.get(value) if value else None for value in named]


def check_batch(plan: RunPlan) -> None:
    """Raise `BatchTooLargeError` if the run has more entities than the plan allows now."""
    with tenant_context(plan.tenant_id):
        check_batch_limit(Tenant.objects.get(pk=plan.tenant_id), plan.entities_total)


def read_entities(plan: RunPlan) -> list[RunEntity]:
    """Return the job's entities that have not ended, in the order of their sources."""
    own = ("id", "position", "name", "source", "state", "attempt", "nodes", "outputs")
    with tenant_context(plan.tenant_id):
        rows = _own(plan).filter(state__in=OPEN_ENTITIES).order_by("position").values(*own, *STATE_FIELDS)
        return [_entity_of(plan, row) for row in rows]


def item_of(plan: RunPlan, entity: RunEntity) -> IndexingItem:
    """Return the entity as an item for the indexing steps. Its content is not read yet."""
    return IndexingItem(
        tenant_id=plan.tenant_id,
        name=entity.name,
        # The name of an uploaded file decides the type of a text, whatever the entity's name.
        file_name=entity.source.get("file_name", entity.name),
        settings=settings_in(plan.graph, entity.nodes),
        embedding_model=plan.embedding_model,
        state=entity.progress,
    )


def count_ended(plan: RunPlan) -> int:
    """Return how many of the job's entities have ended."""
    with tenant_context(plan.tenant_id):
        return int(_own(plan).exclude(state__in=OPEN_ENTITIES).count())


def take_over(plan: RunPlan) -> None:
    """Assign the open entities of the run to this job, and mark the run as running.

    If a job is requeued, a new job works on the same run: it takes over what the old one has not completed. An entity
    that is retried alone stays with the job of its retry.
    """
    run = first_or_raise(
        PipelineRun.objects.select_for_update(no_key=True).filter(pk=plan.run_id), RunGoneError(plan.run_id)
    )
    entities = PipelineEntity.objects.filter(run_id=plan.run_id).exclude(state=EntityState.COMPLETED)
    if plan.entity_id is not None:
        taken = entities.filter(pk=plan.entity_id).exclude(job_id=plan.job_id)
    else:
        taken = entities.filter(job_id=run.job_id) if run.job_id != plan.job_id else entities.none()
        run.job_id = plan.job_id
    # Without the error, whose text is sealed for the job that had it.
    new = {"job_id": plan.job_id, "state": EntityState.WAITING, "error_code": "", "error_message": ""}
    taken.update(**new, attempt=0, ended_at=None)
    if _own(plan).filter(state__in=OPEN_ENTITIES).exists():
        run.state, run.ended_at, run.error_code, run.error_message = PipelineRunState.RUNNING, None, "", ""
        run.started_at = run.started_at or Now()
    run.save(update_fields=["job_id", "state", "started_at", "ended_at", "error_code", "error_message"])


def begin(plan: RunPlan, entity_ids: Sequence[UUID]) -> None:
    """Mark these entities as running, and count an attempt of each."""
    _own(plan).filter(pk__in=entity_ids).update(
        state=EntityState.RUNNING, attempt=F("attempt") + 1, started_at=Coalesce(F("started_at"), Now())
    )


def change(plan: RunPlan, entity_id: UUID, **changes: Any) -> None:
    """Change columns of an open entity; raise `EntityGoneError` if it was deleted or belongs to another job."""
    if not _own(plan).filter(pk=entity_id, state__in=OPEN_ENTITIES).update(**changes):
        raise EntityGoneError(f"The entity {entity_id} was deleted or is another job's.")


def complete(plan: RunPlan, entity_id: UUID, **changes: Any) -> None:
    """Mark the entity completed, because all its chunks are stored. Raise `EntityGoneError` as `change` does."""
    done = {"state": EntityState.COMPLETED, "ended_at": Now(), "error_code": "", "error_message": ""}
    change(plan, entity_id, **done, **changes)


def fail(plan: RunPlan, entity_id: UUID, *, code: str, message: str, is_final: bool, **changes: Any) -> None:
    """Store an error with the entity. If ``is_final`` it ends in error, else it waits for its next attempt."""
    ending = {"state": EntityState.ERROR, "ended_at": Now()} if is_final else {"state": EntityState.WAITING}
    text = _stored_error(PipelineEntity, message, tenant_id=plan.tenant_id, owner_id=plan.job_id)
    change(plan, entity_id, error_code=code[:64], error_message=text, **ending, **changes)


def fail_all(context: JobContext, *, code: str, message: str) -> None:
    """End all open entities of a job that cannot continue, with its error.

    The run ends unless other jobs work on it.
    """
    run_id, tenant_id = UUID(context.payload["run_id"]), context.tenant_id
    text = _stored_error(PipelineRun, message, tenant_id=tenant_id, owner_id=run_id)
    runs = PipelineRun.objects.filter(pk=run_id)
    runs.filter(job_id=context.job_id).update(error_code=code[:64], error_message=text)
    own = PipelineEntity.objects.filter(run_id=run_id, job_id=context.job_id)
    text = _stored_error(PipelineEntity, message, tenant_id=tenant_id, owner_id=context.job_id)
    close_entities(own, state=EntityState.ERROR, code=code, message=text)
    end_runs([run_id])


def _stored_error(model: type[Model], message: str, *, tenant_id: UUID, owner_id: UUID) -> Any:
    return sealed_field(model, "error_message").ready(message, tenant_id=tenant_id, row_id=owner_id)


def finish(plan: RunPlan) -> None:
    """End the run, unless another job works on one of its entities. This job must have no open entity left."""
    end_runs([plan.run_id])


def read_result(plan: RunPlan) -> dict[str, Any]:
    """Return the job's result: how many of its entities ended in each state, and the number of chunks."""
    with tenant_context(plan.tenant_id):
        rows = _own(plan).values("state").annotate(entities=Count("pk"), chunks=Sum("chunks_done"))
        states = {row["state"]: row for row in rows}
    counts = {str(state): row["entities"] for state, row in sorted(states.items())}
    chunks = states.get(EntityState.COMPLETED, {}).get("chunks", 0)
    return {"run": str(plan.run_id), "entities": counts, "chunks": chunks}


def count_states(plan: RunPlan) -> None:
    """Set the run's counters to the numbers of its entities in each state."""
    execute(_COUNT_STATES, {"run_id": plan.run_id}, is_planned=True)


def nodes_read_in(graph: Graph) -> frozenset[str]:
    """Return the nodes whose outputs others read."""
    expressions = [one for node in graph.nodes.values() for one in PIPELINE.types[node.type].expressions(node.config)]
    return frozenset(path[1] for one in expressions for path in paths_in(one) if path[0] == "nodes")


def count_nodes(plan: RunPlan) -> dict[str, NodeCounts]:
    """Return for each node what the job's entities have done there, by the rows of the entities."""
    rows = fetch_all(_COUNT_NODES, {"run_id": plan.run_id, "job_id": plan.job_id}, class_row(NodeCounts))
    return {row.node_id: row for row in rows}


def ready_outputs(plan: RunPlan, entity_id: UUID, outputs: Mapping[str, Any]) -> Any:
    """Return the outputs of an entity's nodes as they are written into its row."""
    return _OUTPUTS.ready(dict(outputs), tenant_id=plan.tenant_id, row_id=entity_id)


def _entity_of(plan: RunPlan, row: dict[str, Any]) -> RunEntity:
    row["outputs"] = _OUTPUTS.open(row["outputs"], tenant_id=plan.tenant_id, row_id=row["id"])
    progress = IndexingState(**{name: row.pop(name) for name in STATE_FIELDS})
    return RunEntity(**{**row, "state": EntityState(row["state"])}, progress=progress)


def _own(plan: RunPlan) -> Any:
    own = PipelineEntity.objects.filter(run_id=plan.run_id, job_id=plan.job_id)
    return own if plan.entity_id is None else own.filter(pk=plan.entity_id)


_OUTPUTS = sealed_field(PipelineEntity, "outputs")
_SQL = load_sql(__file__)
_COUNT_STATES, _COUNT_NODES = _SQL["count_states"], _SQL["count_nodes"]
