-- Tables that a dispatcher empties every tick or every second: no key and no index, so that appending is all that a
-- writer pays. Vacuum them by count, not by share.

-- Submitted jobs, by the line and queue that they wait in.
CREATE TABLE scheduling_wake (
    tenant_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    waiting_delta integer NOT NULL,
    is_bulk boolean NOT NULL DEFAULT false
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Settled executions. Rows without a message hold no slot. A time that Python cannot hold is refused at once.
CREATE TABLE scheduling_settled (
    tenant_id uuid NOT NULL,
    entity_id bigint NOT NULL,
    queue_id bigint NOT NULL,
    kind varchar(64) NOT NULL,
    predicted_us bigint NOT NULL,
    measured_us bigint NOT NULL,
    weight_milli integer NOT NULL,
    queue_weight_milli integer NOT NULL,
    is_sample boolean NOT NULL,
    peak_memory_kib bigint,
    ended_at timestamptz NOT NULL DEFAULT now(),
    payload_bytes integer NOT NULL DEFAULT 0,
    used_us bigint NOT NULL DEFAULT 0,
    message_id uuid DEFAULT gen_random_uuid(),
    whole_us bigint,
    CONSTRAINT settled_ended_at_readable CHECK (ended_at BETWEEN '0001-01-02' AND '9999-12-30')
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- Ended executions that no rollup counts yet.
CREATE TABLE scheduling_tally (
    tenant_id uuid NOT NULL,
    queue_id bigint NOT NULL,
    kind varchar(64) NOT NULL,
    outcome varchar(12) NOT NULL,
    is_dead boolean NOT NULL,
    wait_us bigint,
    started_at timestamptz,
    measured_us bigint NOT NULL,
    ended_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The order of a job's events: clocks may be set back, numbers are not.
CREATE SEQUENCE scheduling_jobevent_position;
ALTER TABLE scheduling_jobevent
    ADD COLUMN position bigint NOT NULL DEFAULT nextval('scheduling_jobevent_position');
ALTER SEQUENCE scheduling_jobevent_position OWNED BY scheduling_jobevent.position;
