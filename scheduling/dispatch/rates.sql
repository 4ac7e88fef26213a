-- name: read_rates
-- Read the rates of queues, where they stand, and the time of the transaction.
SELECT q.id AS queue_id, q.dispatches_per_minute, q.dispatch_burst, c.arrival_us,
    (extract(epoch FROM now()) * 1000000)::bigint AS now_us
FROM scheduling_queue q JOIN scheduling_queue_clock c ON c.queue_id = q.id
WHERE q.id = ANY(%(queue_ids)s);

-- name: spend_rates
-- Set the arrival times of queues.
UPDATE scheduling_queue_clock c SET arrival_us = u.arrival_us
FROM unnest(%(queue_ids)s::bigint[], %(arrivals_us)s::bigint[]) AS u(queue_id, arrival_us)
WHERE c.queue_id = u.queue_id;

-- name: give_back_token
-- Move the arrival time of a rated queue back by one job.
UPDATE scheduling_queue_clock c SET arrival_us = c.arrival_us - ceil(60000000.0 / q.dispatches_per_minute)::bigint
FROM scheduling_queue q WHERE q.name = %(queue)s AND c.queue_id = q.id AND q.dispatches_per_minute > 0;
