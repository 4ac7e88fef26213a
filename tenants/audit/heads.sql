-- name: read_unsigned
-- Read the chains that have grown since they were last signed.
SELECT chain, sequence, hash FROM tenants_auditcounter
WHERE sequence > signed_sequence AND (%(after)s::uuid IS NULL OR chain > %(after)s::uuid)
ORDER BY chain LIMIT %(limit)s;

-- name: read_last_heads
-- Read the last signed head of each chain.
WITH RECURSIVE chains AS (
    (SELECT chain FROM tenants_audithead
     WHERE %(after)s::uuid IS NULL OR chain > %(after)s::uuid ORDER BY chain LIMIT 1)
    UNION ALL
    SELECT (SELECT h.chain FROM tenants_audithead h WHERE h.chain > c.chain ORDER BY h.chain LIMIT 1)
    FROM chains c WHERE c.chain IS NOT NULL
), stretch AS (SELECT chain FROM chains WHERE chain IS NOT NULL LIMIT %(limit)s)
SELECT h.* FROM stretch c,
LATERAL (SELECT * FROM tenants_audithead t WHERE t.chain = c.chain ORDER BY sequence DESC, id DESC LIMIT 1) h
ORDER BY h.chain;
