-- A tenant writes the outcome of a version once; the trigger of tenants refuses every other change.
CREATE TRIGGER keep_version BEFORE UPDATE ON workflow_execution_workflowversion
FOR EACH ROW EXECUTE FUNCTION public.keep_version();
