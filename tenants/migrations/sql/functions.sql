-- Functions of the tables' owner. SECURITY DEFINER runs them with the owner's rights, so the search path is fixed and
-- every name is checked and quoted.

-- Create the partition of a table for a range of ids; return its name.
CREATE FUNCTION public.create_partition(parent text, from_id uuid, to_id uuid) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    partition text := left(parent, 48) || '_' || left(replace(from_id::text, '-', ''), 12);
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = parent AND c.relkind = 'p'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partitioned table', parent USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.%I FOR VALUES FROM (%L) TO (%L)',
                   partition, parent, from_id, to_id);
    RETURN partition;
END $$;

-- Drop a partition with its rows; refuse the default partition.
CREATE FUNCTION public.drop_partition(partition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = partition AND c.relispartition
          AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
    ) THEN
        RAISE EXCEPTION 'public.% is not a partition that can be dropped', partition
            USING ERRCODE = 'undefined_table';
    END IF;
    EXECUTE format('DROP TABLE public.%I', partition);
END $$;

-- Only the platform role creates and drops partitions.
REVOKE ALL ON FUNCTION public.create_partition(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.create_partition(text, uuid, uuid) TO :"platform";
REVOKE ALL ON FUNCTION public.drop_partition(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.drop_partition(text) TO :"platform";

-- Refuse to change a version: its outcome is written once, everything else never. Other apps' tables use it too.
CREATE FUNCTION public.keep_version() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.outcome <> 'waiting'
        OR to_jsonb(OLD) - '{outcome,outcome_at,outcome_note}'::text[]
            <> to_jsonb(NEW) - '{outcome,outcome_at,outcome_note}'::text[]
    THEN
        RAISE EXCEPTION 'A version stays as it was written.' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;

-- Queue new entries of the audit log for their seals. Only this trigger fills the queue.
CREATE FUNCTION public.queue_audit_entries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditpending (entry_id, tenant_id) SELECT id, tenant_id FROM fresh;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.queue_audit_entries() FROM PUBLIC;

-- Raise the counter of each chain that got seals.
CREATE FUNCTION public.count_audit_seals() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditcounter AS c (chain, sequence, hash, signed_sequence)
    SELECT DISTINCT ON (chain) chain, sequence, hash, 0 FROM fresh ORDER BY chain, sequence DESC
    ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
        WHERE c.sequence < excluded.sequence;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.count_audit_seals() FROM PUBLIC;

-- Raise the signed sequence of a chain with a new head; keep the final head of an erased chain.
CREATE FUNCTION public.count_audit_head() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO public.tenants_auditcounter AS c (chain, sequence, hash, signed_sequence, final_head)
    VALUES (NEW.chain, NEW.sequence, NEW.hash, NEW.sequence, CASE NEW.kind WHEN 'final' THEN to_jsonb(NEW) END)
    ON CONFLICT (chain) DO UPDATE SET signed_sequence = greatest(c.signed_sequence, excluded.signed_sequence),
        final_head = coalesce(excluded.final_head, c.final_head);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION public.count_audit_head() FROM PUBLIC;
