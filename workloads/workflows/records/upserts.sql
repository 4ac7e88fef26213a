-- name: upsert_runs
-- Insert runs, or merge them with the stored ones.
INSERT INTO workflow_storage_workflowrun AS t (
    id, tenant_id, workflow_id, workflow_version, workflow_name, is_external, replay_of,
    version, state, error_code, error_message, ended_at, job_id, total_tokens, total_cost, total_steps,
    inputs, inputs_version, inputs_bytes, inputs_key, inputs_sha256,
    outputs, outputs_version, outputs_bytes, outputs_key, outputs_sha256,
    graph, started_at
)
SELECT
    id, tenant_id, workflow_id, workflow_version, workflow_name, is_external, replay_of,
    version, state, error_code, error_message, ended_at, job_id, total_tokens, total_cost, total_steps,
    inputs, inputs_version, inputs_bytes, inputs_key, inputs_sha256,
    outputs, outputs_version, outputs_bytes, outputs_key, outputs_sha256,
    graph, started_at
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, tenant_id uuid, workflow_id uuid, workflow_version int, workflow_name text, is_external boolean,
    replay_of uuid,
    version int, state text, error_code text, error_message text, ended_at timestamptz, job_id uuid,
    total_tokens bigint, total_cost numeric, total_steps int,
    inputs jsonb, inputs_version int, inputs_bytes bigint, inputs_key text, inputs_sha256 text,
    outputs jsonb, outputs_version int, outputs_bytes bigint, outputs_key text, outputs_sha256 text,
    graph jsonb, started_at timestamptz
)
ON CONFLICT (tenant_id, id) DO UPDATE SET
    version = CASE WHEN excluded.version > t.version THEN excluded.version ELSE t.version END,
    state = CASE WHEN excluded.version > t.version THEN excluded.state ELSE t.state END,
    error_code = CASE WHEN excluded.version > t.version THEN excluded.error_code ELSE t.error_code END,
    error_message = CASE WHEN excluded.version > t.version THEN excluded.error_message ELSE t.error_message END,
    ended_at = CASE WHEN excluded.version > t.version THEN excluded.ended_at ELSE t.ended_at END,
    job_id = CASE WHEN excluded.version > t.version THEN excluded.job_id ELSE t.job_id END,
    total_tokens = CASE WHEN excluded.version > t.version THEN excluded.total_tokens ELSE t.total_tokens END,
    total_cost = CASE WHEN excluded.version > t.version THEN excluded.total_cost ELSE t.total_cost END,
    total_steps = CASE WHEN excluded.version > t.version THEN excluded.total_steps ELSE t.total_steps END,
    inputs = CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs ELSE t.inputs END,
    inputs_version = greatest(t.inputs_version, excluded.inputs_version),
    inputs_bytes =
        CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_bytes ELSE t.inputs_bytes END,
    inputs_key = CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_key ELSE t.inputs_key END,
    inputs_sha256 =
        CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_sha256 ELSE t.inputs_sha256 END,
    outputs = CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs ELSE t.outputs END,
    outputs_version = greatest(t.outputs_version, excluded.outputs_version),
    outputs_bytes =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_bytes ELSE t.outputs_bytes END,
    outputs_key =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_key ELSE t.outputs_key END,
    outputs_sha256 =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_sha256 ELSE t.outputs_sha256 END,
    graph = coalesce(t.graph, excluded.graph),
    started_at = least(t.started_at, excluded.started_at)
WHERE NOT (t.state IN ('cancelled', 'failed', 'skipped', 'succeeded') AND excluded.version > t.version)
    AND t.is_external = excluded.is_external
    AND (
        excluded.version > t.version
        OR excluded.inputs_version > t.inputs_version
        OR excluded.outputs_version > t.outputs_version
        OR t.graph IS NULL AND excluded.graph IS NOT NULL
        OR least(t.started_at, excluded.started_at) IS DISTINCT FROM t.started_at
    );

-- name: upsert_nodes
-- Insert nodes, or merge them with the stored ones.
INSERT INTO workflow_storage_noderun AS t (
    id, tenant_id, run_id, node_id, path, node_type,
    version, state, error_code, error_message, ended_at, attempt, tokens,
    inputs, inputs_version, inputs_bytes, inputs_key, inputs_sha256,
    outputs, outputs_version, outputs_bytes, outputs_key, outputs_sha256,
    started_at, run_version
)
SELECT
    id, tenant_id, run_id, node_id, path, node_type,
    version, state, error_code, error_message, ended_at, attempt, tokens,
    inputs, inputs_version, inputs_bytes, inputs_key, inputs_sha256,
    outputs, outputs_version, outputs_bytes, outputs_key, outputs_sha256,
    started_at, run_version
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, tenant_id uuid, run_id uuid, node_id text, path int[], node_type text,
    version int, state text, error_code text, error_message text, ended_at timestamptz, attempt int, tokens bigint,
    inputs jsonb, inputs_version int, inputs_bytes bigint, inputs_key text, inputs_sha256 text,
    outputs jsonb, outputs_version int, outputs_bytes bigint, outputs_key text, outputs_sha256 text,
    started_at timestamptz, run_version int
)
ON CONFLICT (tenant_id, run_id, node_id, path) DO UPDATE SET
    version = CASE WHEN excluded.version > t.version THEN excluded.version ELSE t.version END,
    state = CASE WHEN excluded.version > t.version THEN excluded.state ELSE t.state END,
    error_code = CASE WHEN excluded.version > t.version THEN excluded.error_code ELSE t.error_code END,
    error_message = CASE WHEN excluded.version > t.version THEN excluded.error_message ELSE t.error_message END,
    ended_at = CASE WHEN excluded.version > t.version THEN excluded.ended_at ELSE t.ended_at END,
    attempt = CASE WHEN excluded.version > t.version THEN excluded.attempt ELSE t.attempt END,
    tokens = CASE WHEN excluded.version > t.version THEN excluded.tokens ELSE t.tokens END,
    inputs = CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs ELSE t.inputs END,
    inputs_version = greatest(t.inputs_version, excluded.inputs_version),
    inputs_bytes =
        CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_bytes ELSE t.inputs_bytes END,
    inputs_key = CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_key ELSE t.inputs_key END,
    inputs_sha256 =
        CASE WHEN excluded.inputs_version > t.inputs_version THEN excluded.inputs_sha256 ELSE t.inputs_sha256 END,
    outputs = CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs ELSE t.outputs END,
    outputs_version = greatest(t.outputs_version, excluded.outputs_version),
    outputs_bytes =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_bytes ELSE t.outputs_bytes END,
    outputs_key =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_key ELSE t.outputs_key END,
    outputs_sha256 =
        CASE WHEN excluded.outputs_version > t.outputs_version THEN excluded.outputs_sha256 ELSE t.outputs_sha256 END,
    started_at = least(t.started_at, excluded.started_at),
    run_version = greatest(t.run_version, excluded.run_version)
WHERE NOT (t.state IN ('cancelled', 'failed', 'skipped', 'succeeded') AND excluded.version > t.version)
    AND (
        excluded.version > t.version
        OR excluded.inputs_version > t.inputs_version
        OR excluded.outputs_version > t.outputs_version
        OR least(t.started_at, excluded.started_at) IS DISTINCT FROM t.started_at
        OR excluded.run_version > t.run_version
    );
