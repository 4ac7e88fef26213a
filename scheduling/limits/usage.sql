-- name: measure_usage
-- Count a tenant's waiting jobs, jobs in flight and schedules.
SELECT (SELECT coalesce(sum(waiting + keys_waiting), 0) FROM scheduling_schedulingentity
        WHERE tenant_id = %(tenant_id)s AND parent_id IS NULL)
    + (SELECT coalesce(sum(waiting_delta), 0) FROM scheduling_wake WHERE tenant_id = %(tenant_id)s) AS waiting,
    (SELECT coalesce(sum(in_flight), 0) FROM scheduling_tenant_capacity WHERE tenant_id = %(tenant_id)s)
        AS in_flight,
    (SELECT (
        -- include: memory_in_use
    ) FROM tenants_tenant t WHERE t.id = %(tenant_id)s) AS memory_mib,
    (SELECT count(*) FROM scheduling_schedule WHERE tenant_id = %(tenant_id)s) AS schedules,
    (SELECT coalesce(sum(bytes), 0) FROM scheduling_log_volume
        WHERE tenant_id = %(tenant_id)s AND day = (now() AT TIME ZONE 'UTC')::date) AS log_bytes;
