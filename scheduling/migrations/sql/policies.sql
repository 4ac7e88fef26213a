-- The auditor's login writes its own heartbeat and no other.
CREATE POLICY auditor_select ON scheduling_process_heartbeat FOR SELECT TO :"auditor" USING (role = 'auditor');
CREATE POLICY auditor_insert ON scheduling_process_heartbeat FOR INSERT TO :"auditor" WITH CHECK (role = 'auditor');
CREATE POLICY auditor_update ON scheduling_process_heartbeat FOR UPDATE TO :"auditor" USING (role = 'auditor');
CREATE POLICY auditor_delete ON scheduling_process_heartbeat FOR DELETE TO :"auditor" USING (role = 'auditor');
