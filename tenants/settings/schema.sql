-- name: read_settings
-- Read the settings that a tenant has set.
SELECT stored::json FROM tenants_tenantsettings WHERE tenant_id = %(tenant_id)s;
