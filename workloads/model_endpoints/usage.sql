-- name: add_usage
-- Add requests, tokens and cost to the tenant's rows of today. A cost that is not known leaves the stored one.
INSERT INTO model_endpoints_usageday AS t (
    id, tenant_id, day, endpoint, model, requests, prompt_tokens, completion_tokens, cost
)
SELECT
    id, %(tenant_id)s, (now() AT TIME ZONE 'UTC')::date,
    endpoint, model, requests, prompt_tokens, completion_tokens, cost
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    id uuid, endpoint text, model text, requests bigint, prompt_tokens bigint, completion_tokens bigint, cost numeric
)
ON CONFLICT (tenant_id, day, endpoint, model) DO UPDATE SET
    requests = t.requests + excluded.requests,
    prompt_tokens = t.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = t.completion_tokens + excluded.completion_tokens,
    cost = CASE WHEN excluded.cost IS NULL THEN t.cost ELSE coalesce(t.cost, 0) + excluded.cost END;
