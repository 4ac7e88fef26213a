-- Keep the versions of plans as they were written.
CREATE TRIGGER keep_version BEFORE UPDATE ON tenants_planversion
FOR EACH ROW EXECUTE FUNCTION public.keep_version();

-- Queue audit entries for their seals, and count seals and heads by chain.
CREATE TRIGGER queue_for_seal AFTER INSERT ON tenants_auditlogentry
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.queue_audit_entries();
CREATE TRIGGER count_seals AFTER INSERT ON tenants_auditseal
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.count_audit_seals();
CREATE TRIGGER count_head AFTER INSERT ON tenants_audithead
FOR EACH ROW EXECUTE FUNCTION public.count_audit_head();
