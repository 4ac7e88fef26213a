CREATE UNIQUE INDEX CONCURRENTLY chunk_order_unique ON retrieval_chunk
    (tenant_id, document_id, is_served, (coalesce(place, position::double precision)));
