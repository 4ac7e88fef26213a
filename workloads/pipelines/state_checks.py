"""Consistency checks of pipelines: the jobs of entities, the counters of runs, the documents of entities."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.consistency.registry import CheckPage, CheckRange, FaultKind, StateCheck
from scheduling.consistency.walk import Table
from tenants.database.sql import load_sql

NO_JOB = FaultKind(
    "pipeline_entity_without_job", gettext_noop("An entity of the last day waits for a job that does not exist.")
)
COUNTS = FaultKind("pipeline_run_counts", gettext_noop("The entity counts of an ended run differ from its entities."))
CHUNKS = FaultKind(
    "pipeline_entity_chunks", gettext_noop("The chunk count of a completed entity differs from its document's.")
)
_SQL = load_sql(__file__)
_JOBS, _COUNTS, _CHUNKS = _SQL["find_without_job"], _SQL["find_wrong_counts"], _SQL["find_wrong_chunks"]


def check_jobs(piece: CheckRange) -> CheckPage:
    """Find open entities whose job does not exist."""
    return Table("rag_pipeline_pipelineentity").look(_JOBS, piece)


def check_counts(piece: CheckRange) -> CheckPage:
    """Find ended runs whose counters differ from their entities."""
    return Table("rag_pipeline_pipelinerun").look(_COUNTS, piece, rows=500)


def check_chunks(piece: CheckRange) -> CheckPage:
    """Find completed entities whose document has another number of chunks, or is not completed."""
    return Table("rag_pipeline_pipelineentity").look(_CHUNKS, piece)


CHECKS = (
    StateCheck("pipeline_jobs", (NO_JOB,), check_jobs),
    StateCheck("pipeline_counts", (COUNTS,), check_counts),
    StateCheck("pipeline_chunks", (CHUNKS,), check_chunks),
)
