"""What workflows, pipelines, files and webhooks leave behind in an installation at work, most of it the busiest's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.harness.filling import run_statement
from jobsplatform.settings.env import BASE_DIR
from scheduling.processors.rag_pipeline.services import create_pipeline
from scheduling.processors.webhook_delivery.services import create_webhook
from scheduling.processors.workflow_execution.services import create_workflow
from tenants.models import Tenant

WORKFLOW_RUNS, NODES = 100_000, 5
PIPELINE_RUNS, ENTITIES = 5_000, 40
FILES = 20_000
DELIVERIES = 100_000
APPROVALS = 20_000

_FILES = """
INSERT INTO files_uploadedfile (id, tenant_id, name, content_type, size_bytes, sha256, key, created_at)
SELECT uuidv7(), %(busiest)s, 'chapter-' || n || '.txt', 'text/plain', 1000, encode(sha256(n::text::bytea), 'hex'),
    'contents/' || n, now()
FROM generate_series(1, %(files)s) AS n
"""
_WORKFLOW_RUNS = """
INSERT INTO workflow_storage_workflowrun (id, tenant_id, version, state, inputs, inputs_version, inputs_bytes,
    outputs, outputs_version, outputs_bytes, inputs_sha256, outputs_sha256, error_code, error_message, started_at,
    ended_at, workflow_id, workflow_version, workflow_name, job_id, total_tokens, total_steps)
SELECT uuidv7(), %(busiest)s, 5, CASE WHEN n %% 20 = 0 THEN 'failed' ELSE 'succeeded' END, '{"topic": "words"}', 1, 18,
    '{"text": "words"}', 5, 17, '', '', '', '', now() - interval '2 seconds', now(), %(workflow)s, 1,
    'publish_with_approval', uuidv7(), 100, %(nodes)s
FROM generate_series(1, %(runs)s) AS n
"""
_NODES = """
INSERT INTO workflow_storage_noderun (id, tenant_id, version, state, inputs, inputs_version, inputs_bytes, outputs,
    outputs_version, outputs_bytes, inputs_sha256, outputs_sha256, error_code, error_message, started_at, ended_at,
    run_id, run_version, node_id, path, node_type, attempt, tokens)
SELECT uuidv7(), r.tenant_id, 1, 'succeeded', '{}', 1, 2, '{"text": "words"}', 1, 17, '', '', '', '', r.started_at,
    r.ended_at, r.id, 1, 'node-' || n, '{}', 'template', 1, 0
FROM workflow_storage_workflowrun r CROSS JOIN generate_series(1, %(nodes)s) AS n
"""
_APPROVALS = """
INSERT INTO workflow_execution_approval (id, tenant_id, workflow_id, job_id, node, title, text, state, comment,
    decided_by, created_at, expires_at, decided_at)
SELECT uuidv7(), %(busiest)s, %(workflow)s, uuidv7(), 'check', 'Publish it?', '',
    CASE WHEN n %% 10 = 0 THEN 'pending' ELSE 'approved' END, '', '', now(), now() + interval '1 day', NULL
FROM generate_series(1, %(approvals)s) AS n
"""
_PIPELINE_RUNS = """
INSERT INTO rag_pipeline_pipelinerun (id, tenant_id, pipeline_id, version_id, job_id, state, entities_total,
    entities_completed, entities_error, entities_cancelled, error_code, error_message, created_at, started_at, ended_at)
SELECT uuidv7(), v.tenant_id, v.pipeline_id, v.id, uuidv7(), 'completed', %(entities)s, %(entities)s, 0, 0, '', '',
    now(), now(), now()
FROM rag_pipeline_pipelineversion v CROSS JOIN generate_series(1, %(runs)s) AS n
"""
_ENTITIES = """
INSERT INTO rag_pipeline_pipelineentity (id, tenant_id, run_id, position, source, name, state, job_id, attempt,
    content_key, content_sha256, content_type, size_bytes, passages_key, passages_sha256, is_duplicate, chunks_done,
    chunks_total, error_code, error_message, created_at, started_at, ended_at)
SELECT uuidv7(), r.tenant_id, r.id, n, '{"type": "text", "text": "words"}', 'text ' || n, 'completed', r.job_id, 1,
    '', '', 'text/plain', 5, '', '', false, 1, 1, '', '', now(), now(), now()
FROM rag_pipeline_pipelinerun r CROSS JOIN generate_series(1, %(entities)s) AS n
"""
_DELIVERIES = """
INSERT INTO webhooks_delivery (id, tenant_id, webhook_id, job_id, event, attempt, status, error, answer, seconds,
    created_at)
SELECT uuidv7(), w.tenant_id, w.id, uuidv7(), 'batch.completed', 1, 200, '', '', 0.1, now()
FROM webhooks_webhook w CROSS JOIN generate_series(1, %(deliveries)s) AS n
"""


def fill_workloads(busiest: Tenant) -> None:
    """Make it all; the busiest tenant has the dataset ``handbook`` already."""
    workflow = create_workflow(
        tenant=busiest, name="publish_with_approval", definition=_example("workflows/publish_with_approval.json")
    )
    definition = {**_example("pipelines/glossary.json"), "load": {"dataset": "handbook"}}
    create_pipeline(tenant=busiest, name="glossary", definition=definition)
    create_webhook(tenant=busiest, name="news", url="https://news.example/hook")
    parameters = {"busiest": busiest.pk, "workflow": workflow.pk}
    run_statement(_FILES, {**parameters, "files": FILES})
    run_statement(_WORKFLOW_RUNS, {**parameters, "runs": WORKFLOW_RUNS, "nodes": NODES})
    run_statement(_NODES, {"nodes": NODES})
    run_statement(_APPROVALS, {**parameters, "approvals": APPROVALS})
    run_statement(_PIPELINE_RUNS, {"runs": PIPELINE_RUNS, "entities": ENTITIES})
    run_statement(_ENTITIES, {"entities": ENTITIES})
    run_statement(_DELIVERIES, {"deliveries": DELIVERIES})


def _example(name: str) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = json.loads((BASE_DIR / "examples" / name).read_text(encoding="utf-8"))
    return definition
