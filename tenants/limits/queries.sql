-- name: read_limits
-- Read limits of a tenant.
WITH
-- include: allowed_limits
SELECT key, value, source, expires_at FROM allowed;
