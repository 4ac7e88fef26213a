-- name: read_settings
-- Read a tenant's settings that differ from the defaults.
SELECT stored::json FROM tenants_tenantsettings WHERE tenant_id = %(tenant_id)s;
