-- Fragments that statements of several packages include.

-- fragment: in_page
-- Whether a row belongs to a tenant of a page of tenants; the parameters are those of TenantPage.
tenant_id > %(after)s AND tenant_id <= %(until)s
