-- Policies of the audit log beyond those of EnableRowSecurity. Only the auditor's login seals, signs and prunes; the
-- application's roles append entries.

-- The triggers write the queue and the counters as the tables' owner.
CREATE POLICY queue_keeper ON tenants_auditpending FOR INSERT TO CURRENT_USER WITH CHECK (true);
CREATE POLICY counter_keeper ON tenants_auditcounter FOR ALL TO CURRENT_USER USING (true) WITH CHECK (true);

-- The platform requests a removal; only the auditor marks it as done. The server sets the time of the request. One
-- request a kind for the platform or an existing tenant: forged requests cannot hide a real one.
CREATE POLICY platform_door_insert ON tenants_auditremoval FOR INSERT TO :"platform" WITH CHECK (
    done_at IS NULL AND removed = '{}'::jsonb AND requested_at BETWEEN transaction_timestamp() AND clock_timestamp()
    AND (chain = '00000000-0000-0000-0000-000000000000'
         OR EXISTS (SELECT FROM tenants_tenant t WHERE t.id = tenants_auditremoval.chain))
);

-- The auditor appends one kind of entry of its own. It deletes what a checkpoint covers, or a chain that has its final
-- head; the verification checks the signatures of both.
CREATE POLICY auditor_select ON tenants_auditlogentry FOR SELECT TO :"auditor" USING (true);
CREATE POLICY auditor_insert ON tenants_auditlogentry FOR INSERT TO :"auditor"
WITH CHECK (tenant_id IS NULL AND action = 'audit.pruned');
CREATE POLICY auditor_delete ON tenants_auditlogentry FOR DELETE TO :"auditor" USING (
    EXISTS (SELECT FROM tenants_audithead h
            WHERE h.chain = coalesce(tenants_auditlogentry.tenant_id, '00000000-0000-0000-0000-000000000000')
              AND h.kind <> 'head'
              AND (h.kind = 'final' OR EXISTS (
                  SELECT FROM tenants_auditseal s
                  WHERE s.entry_id = tenants_auditlogentry.id AND s.chain = h.chain AND s.sequence <= h.sequence)))
);

CREATE POLICY auditor_select ON tenants_auditpending FOR SELECT TO :"auditor" USING (true);
CREATE POLICY auditor_delete ON tenants_auditpending FOR DELETE TO :"auditor" USING (true);

CREATE POLICY auditor_select ON tenants_auditseal FOR SELECT TO :"auditor" USING (true);
CREATE POLICY auditor_insert ON tenants_auditseal FOR INSERT TO :"auditor" WITH CHECK (true);
CREATE POLICY auditor_delete ON tenants_auditseal FOR DELETE TO :"auditor" USING (
    EXISTS (SELECT FROM tenants_audithead h
            WHERE h.chain = tenants_auditseal.chain AND h.kind <> 'head'
              AND (h.kind = 'final' OR tenants_auditseal.sequence <= h.sequence))
);

CREATE POLICY auditor_select ON tenants_audithead FOR SELECT TO :"auditor" USING (true);
CREATE POLICY auditor_insert ON tenants_audithead FOR INSERT TO :"auditor" WITH CHECK (true);
CREATE POLICY auditor_delete ON tenants_audithead FOR DELETE TO :"auditor" USING (
    EXISTS (SELECT FROM tenants_audithead h
            WHERE h.chain = tenants_audithead.chain AND h.kind <> 'head'
              AND (h.kind = 'final' OR tenants_audithead.sequence < h.sequence))
);

CREATE POLICY auditor_select ON tenants_auditcounter FOR SELECT TO :"auditor" USING (true);

CREATE POLICY auditor_select ON tenants_auditremoval FOR SELECT TO :"auditor" USING (true);
CREATE POLICY auditor_update ON tenants_auditremoval FOR UPDATE TO :"auditor" USING (true);
CREATE POLICY auditor_delete ON tenants_auditremoval FOR DELETE TO :"auditor" USING (true);
