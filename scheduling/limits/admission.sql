-- name: read_standing
-- Read the state of a tenant at the start of a submission. Ticks fold wakes into the lines; unfolded ones count too.
-- Drains of queues and kinds are few.
SELECT now() AS now,
    line.waiting + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake WHERE tenant_id = %(tenant_id)s)
        AS waiting,
    (SELECT coalesce(sum(amount), 0)::bigint FROM tenants_tenantusage WHERE tenant_id = %(tenant_id)s
        AND key = %(key)s AND period =
        -- include: this_month
    ) AS used_us,
    (SELECT coalesce(sum(amount), 0)::bigint FROM tenants_tenantusage WHERE tenant_id = %(tenant_id)s
        AND key = %(outbox_key)s AND period = %(no_period)s) AS pending_messages,
    line.queue_ids, line.ids,
    (SELECT array_agg(ARRAY[scope, name, reason, until::text]) FROM scheduling_drain WHERE scope <> 'pool') AS drains
FROM (SELECT coalesce(sum(waiting + keys_waiting), 0) AS waiting, array_agg(queue_id) AS queue_ids, array_agg(id) AS ids
    FROM scheduling_schedulingentity WHERE tenant_id = %(tenant_id)s AND parent_id IS NULL) AS line;
