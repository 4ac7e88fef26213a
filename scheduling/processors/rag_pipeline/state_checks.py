"""Pipelines as checks of the state: the jobs that runs wait for, the counters of runs, the documents of entities."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from scheduling.services.consistency.registry import FaultKind, Look, Piece, StateCheck
from scheduling.services.consistency.walk import Table

NO_JOB = FaultKind(
    "pipeline_entity_without_job", gettext_noop("An entity of the last day waits for a job that is not there.")
)
COUNTS = FaultKind("pipeline_run_counts", gettext_noop("An ended run counts other entities than it has."))
CHUNKS = FaultKind(
    "pipeline_entity_chunks", gettext_noop("A completed entity says other chunks than its document has.")
)
_JOBS = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, job_id FROM rag_pipeline_pipelineentity
    WHERE <piece> AND created_at > now() - interval '1 day' AND state IN ('waiting', 'running')
)
SELECT 'pipeline_entity_without_job', p.tenant_id, p.id::text FROM piece p
WHERE NOT EXISTS (SELECT FROM scheduling_job j WHERE j.id = p.job_id AND j.tenant_id = p.tenant_id)
"""
_COUNTS = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, state, entities_total, entities_completed, entities_error, entities_cancelled
    FROM rag_pipeline_pipelinerun WHERE <piece> AND state NOT IN ('waiting', 'running')
)
SELECT 'pipeline_run_counts', p.tenant_id, p.id::text FROM piece p
WHERE (p.entities_total, p.entities_completed, p.entities_error, p.entities_cancelled) <> (
    SELECT count(*), count(*) FILTER (WHERE e.state = 'completed'), count(*) FILTER (WHERE e.state = 'error'),
        count(*) FILTER (WHERE e.state = 'cancelled')
    FROM rag_pipeline_pipelineentity e WHERE e.tenant_id = p.tenant_id AND e.run_id = p.id
)
"""
# Of a document that was deleted, or is indexed anew, nothing is said.
_CHUNKS = """
WITH piece AS MATERIALIZED (
    SELECT id, tenant_id, document_id, chunks_total FROM rag_pipeline_pipelineentity
    WHERE <piece> AND state = 'completed' AND ended_at > now() - interval '1 day'
)
SELECT 'pipeline_entity_chunks', p.tenant_id, p.id::text FROM piece p
JOIN retrieval_document d ON d.id = p.document_id AND d.tenant_id = p.tenant_id
JOIN rag_pipeline_pipelineentity e ON e.id = p.id
WHERE d.job_id = e.job_id AND (d.status <> 'completed' OR d.chunks_done <> p.chunks_total)
"""


def look_at_jobs(piece: Piece) -> Look:
    """Open entities whose jobs are gone."""
    return Table("rag_pipeline_pipelineentity").look(_JOBS, piece)


def look_at_counts(piece: Piece) -> Look:
    """Ended runs with other counts than their entities make."""
    return Table("rag_pipeline_pipelinerun").look(_COUNTS, piece, rows=500)


def look_at_chunks(piece: Piece) -> Look:
    """Completed entities whose documents have other chunks, or are not complete."""
    return Table("rag_pipeline_pipelineentity").look(_CHUNKS, piece)


CHECKS = (
    StateCheck("pipeline_jobs", (NO_JOB,), look_at_jobs),
    StateCheck("pipeline_counts", (COUNTS,), look_at_counts),
    StateCheck("pipeline_chunks", (CHUNKS,), look_at_chunks),
)
