-- Keep the versions of CFS plans as they were written (public.keep_version of tenants).
CREATE TRIGGER keep_version BEFORE UPDATE ON scheduling_cfs_plan_version
FOR EACH ROW EXECUTE FUNCTION public.keep_version();
