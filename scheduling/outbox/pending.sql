-- name: count_pending
-- Write the numbers of pending messages that have changed; return the tenants of these, and the number of all messages.
WITH pending AS (
    SELECT tenant_id, count(*) AS amount FROM scheduling_outbox_message WHERE state = 'pending' GROUP BY tenant_id
), counted AS (
    SELECT tenant_id, amount FROM tenants_tenantusage WHERE key = %(key)s AND period = %(period)s
), changed AS (
    INSERT INTO tenants_tenantusage (tenant_id, key, period, amount)
    SELECT tenant_id, %(key)s, %(period)s, coalesce(p.amount, 0) FROM pending p FULL JOIN counted c USING (tenant_id)
    WHERE coalesce(p.amount, 0) <> coalesce(c.amount, 0) ORDER BY tenant_id
    ON CONFLICT (tenant_id, key, period) DO UPDATE SET amount = excluded.amount
    RETURNING tenant_id
)
SELECT (SELECT array_agg(tenant_id) FROM changed) AS changed,
    (SELECT coalesce(sum(amount), 0)::bigint FROM pending) AS total;
