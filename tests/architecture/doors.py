"""List of all cross-tenant functions: a new one is added on purpose, and is visible in the review of this file."""

from __future__ import annotations

# By file: the functions that access all tenants, and the reason.
EXPECTED: dict[str, tuple[set[str], str]] = {
    "workloads/workflows/upkeep.py": (
        {"sweep_ended_runs"},
        "it looks for what the runs of all tenants have left behind",
    ),
    "jobsplatform/demo/readings.py": (
        {"read_counts", "read_executions", "read_death_reasons", "read_runs"},
        "the demo compares its tenants with one another",
    ),
    "jobsplatform/demo/provision.py": (
        {"_raise_request_rates"},
        "the demo raises its plans' rates",
    ),
    "jobsplatform/health/metrics.py": ({"PlatformCollector.collect"}, "the numbers are the platform's, by queue"),
    "jobsplatform/health/probes.py": (
        {"Auditor.run", "Dispatcher._age", "Publishing.run"},
        "the probe asks for the platform, not for a tenant",
    ),
    "scheduling/topology/api.py": ({"QueueViewSet.list"}, "platform staff sees global numbers"),
    "scheduling/checks.py": ({"_ask"}, "clocks and queues are the platform's"),
    "scheduling/management/commands/prune_finished.py": (
        {"_record", "pages"},
        "an operator removes the ended jobs of all tenants at once",
    ),
    "scheduling/bulk/commands.py": (
        {"BulkCommand._run"},
        "an operator acts on the jobs of one tenant or of all",
    ),
    "scheduling/bulk/running.py": (
        {"open_operations", "take_turn", "note_failure", "run_to_end"},
        "a dispatcher goes on with the operations of all tenants, each in the scope in which it was started",
    ),
    "scheduling/management/commands/explain_job.py": ({"Command.handle"}, "an operator names a job by its id alone"),
    "scheduling/breakers/api.py": (
        {"CircuitViewSet.list", "SharedCircuitViewSet.list"},
        "what all tenants share is no tenant's row; a tenant is told that it is down, and nothing of the others",
    ),
    "scheduling/bulk/effect.py": (
        {"read_effect"},
        "everybody's work decides how long one waits; a tenant is told its own wait alone",
    ),
    "scheduling/observability/pool_load.py": ({"read_pool_load"}, "a pool works for all tenants"),
    "scheduling/fleet/queries.py": ({"find_running_workers"}, "what a worker has in hand is all tenants'"),
    "scheduling/breakers/service.py": ({"_scope_of"}, "a breaker that all tenants share is held by hand"),
    "scheduling/breakers/dependencies.py": (
        {"ask_passage", "tell_at_once"},
        "a running job asks whether what all tenants share is down",
    ),
    "scheduling/management/commands/list_circuits.py": (
        {"Command.handle"},
        "an operator asks for all tenants' circuit breakers",
    ),
    "scheduling/management/commands/list_schedules.py": (
        {"Command.handle"},
        "an operator asks for all tenants' schedules",
    ),
    "scheduling/schedules/commands.py": ({"schedule_scope"}, "an id on the command line does not say whose it is"),
    "scheduling/management/commands/tail_job.py": (
        {"find_job"},
        "an operator names a job by its id, not by its tenant",
    ),
    "scheduling/stops/api.py": (
        {"StoppableViewSet.state_of", "WorkerViewSet._answer", "WorkerViewSet.list"},
        "platform staff sees global numbers, whichever tenant it has named",
    ),
    "scheduling/stops/commands.py": (
        {"find_worker", "read_state"},
        "whoever runs a command sees how a queue, kind, pool or worker stands for all tenants",
    ),
    "scheduling/management/commands/run_upkeep.py": (
        {"Command.handle"},
        "upkeep is the platform's, and so is its record",
    ),
    "workloads/documents/management/commands/build_search_indexes.py": (
        {"large_datasets"},
        "it looks for the datasets of all tenants that have outgrown exact search",
    ),
    "scheduling/jobs/batches/folding.py": ({"fold_batches"}, "what has ended is all tenants'"),
    "scheduling/jobs/batches/firing.py": (
        {"fire_batches"},
        "it looks whose batches are over; each is worked on in its tenant's scope",
    ),
    "scheduling/jobs/batches/cancelling.py": ({"tend_cancellations"}, "cancelled batches are all tenants'"),
    "workloads/webhooks/upkeep.py": (
        {"prune_deliveries"},
        "upkeep removes what is old of all tenants",
    ),
    "workloads/workflows/records/upkeep.py": (
        {"prune_runs"},
        "upkeep removes the old runs of all tenants",
    ),
    "workloads/pipelines/upkeep.py": (
        {"close_runs", "_close_entities", "prune_runs"},
        "upkeep looks at the pipeline runs of all tenants",
    ),
    "workloads/files/upkeep.py": (
        {"sweep_contents", "_find_missing_files"},
        "upkeep looks at the files of all tenants",
    ),
    "workloads/files/state_checks.py": (
        {"look_at_files", "look_at_use", "look_at_references"},
        "the files of all tenants are compared with the storage and with what refers to them",
    ),
    "workloads/documents/state_checks.py": (
        {"look_at_chunks"},
        "the documents of all tenants are compared with their chunks",
    ),
    "tenants/limits/recounts.py": ({"StoredCounter.verify_page"}, "every tenant's counters are recounted"),
    "scheduling/streams/feed.py": (
        {"EventFeed._send_live"},
        "one reader reads for the clients of many tenants; each is told its own tenant's events",
    ),
    "scheduling/jobs/waits/outlook.py": (
        {"read_start"},
        "everybody's work decides when a job's turn comes; the time alone is told",
    ),
    "scheduling/diagnosis/starts.py": (
        {"find_stalled_pools"},
        "whether a pool starts jobs is a matter of all tenants; the names of pools alone are told",
    ),
    "scheduling/jobs/waits/standing.py": (
        {"read_standing"},
        "whether a queue's cap is reached is a matter of all tenants; a tenant is told no number of it",
    ),
    "scheduling/jobs/waits/reasons.py": (
        {"why_waiting"},
        "opened once for the standing and the outlook of one job, which are everybody's matter",
    ),
    "scheduling/what_if/recent_load.py": (
        {"read_recent_load"},
        "a what-if replays what all tenants of a pool have had to do; only who may see the platform's numbers asks it.",
    ),
    "scheduling/plans/queries.py": ({"open_reroute"}, "routing is the platform's"),
    "scheduling/management/commands/move_backlog.py": ({"Command.handle"}, "what waits is all tenants'"),
    "scheduling/fleet/standings.py": ({"measure_queues"}, "queues and workers are the platform's"),
    "scheduling/plans/service.py": (
        {"activate_cfs_plan", "create_cfs_plan"},
        "the order among tenants is the platform's",
    ),
    "scheduling/subscriptions/relay.py": (
        {"EventRelayer.take_turn"},
        "one relay reads for all tenants that subscribed; what it tells is submitted in each tenant's scope",
    ),
    "scheduling/statistics/gauges.py": (
        {"sample_gauges"},
        "queues and pools are the platform's, and tenants are sampled together",
    ),
    "scheduling/shares/samples.py": ({"_take_sample"}, "entitlements are reckoned among all tenants"),
    "scheduling/consistency/history.py": (
        {"_find_ghosts", "look_at_stories"},
        "history that is nobody's any more can be found only among everybody's",
    ),
    "scheduling/consistency/chains.py": (
        {"look_at_audit", "look_at_erasures"},
        "the chains and the erasures of all tenants are verified",
    ),
    "scheduling/consistency/counters.py": ({"_find_differences"}, "the counters are of all tenants' work"),
    "scheduling/consistency/rollups.py": (
        {"RollupCheck.check_page", "RollupCheck.finish"},
        "the rollups are of all tenants' work",
    ),
    "scheduling/consistency/sums.py": (
        {"_find_unbalanced", "find_usage", "look_at_usage"},
        "the charges and the worker time of all tenants are compared",
    ),
    "scheduling/consistency/verification.py": ({"_repair"}, "faults of all tenants are repaired"),
    "scheduling/consistency/walk.py": ({"Table.look"}, "the state of all tenants is compared"),
    "scheduling/diagnosis/checks.py": ({"check_flow", "check_refused"}, "the diagnosis is the platform's"),
    "scheduling/diagnosis/service.py": ({"_liveness_checks", "_number_checks"}, "the diagnosis is the platform's"),
    "scheduling/dispatch/absence.py": (
        {"note_broker_away", "note_refused_again", "note_refused_hints"},
        "a pool's clock is nobody's in particular",
    ),
    "scheduling/dispatch/republish.py": ({"republish_unstarted"}, "dispatch serves all tenants at once"),
    "scheduling/breakers/state.py": (
        {"tend_circuits"},
        "breakers nobody waits behind, and jobs whose breaker is gone, are any tenant's",
    ),
    "scheduling/dispatch/slices.py": (
        {"ask_for_slices", "ask_in_pool"},
        "whose slot goes to whom is decided among all tenants",
    ),
    "scheduling/dispatch/tick.py": ({"_run_tick"}, "dispatch serves all tenants at once"),
    "scheduling/execution/start.py": ({"start_executions"}, "a message names executions, not their tenants"),
    "scheduling/execution/leases.py": ({"heartbeat"}, "a worker renews the leases of many tenants' executions"),
    "scheduling/limits/admission.py": ({"keep_limits"}, "overrides expire and months end for all tenants"),
    "scheduling/execution/logs/service.py": ({"append_job_logs"}, "the jobs of a message may be of several tenants"),
    "scheduling/jobs/lines.py": ({"remove_idle_lines"}, "upkeep removes what is idle of all tenants"),
    "scheduling/upkeep/partitions.py": (
        {"_make", "_midnight", "list_partitions"},
        "partitions hold the rows of all tenants",
    ),
    "scheduling/plans/due_versions.py": (
        {"apply_due_versions"},
        "versions of all tenants are looked for",
    ),
    "scheduling/fleet/processes.py": ({"ProcessPulse.beat"}, "dispatchers and beat are the platform's"),
    "scheduling/execution/lost_sessions.py": ({"end_lost_sessions"}, "a lost worker ran jobs of many tenants"),
    "scheduling/execution/rescue.py": ({"_lead_and"}, "the sweep looks for dead executions of all tenants"),
    "scheduling/dispatch/refused.py": (
        {"set_aside_refused"},
        "the settled executions of a pool are of all tenants",
    ),
    "scheduling/schedules/firing.py": (
        {"fire_due_schedules"},
        "whichever dispatcher looks fires what is due of all tenants",
    ),
    "scheduling/upkeep/retention/history.py": (
        {"drop_oldest_day", "prune_tenant_history"},
        "a day of history holds the rows of all tenants, and each step serves whichever has old ones",
    ),
    "scheduling/upkeep/retention/jobs.py": (
        {"_prune", "count_prunable", "prune_batches"},
        "each step serves whichever tenant has jobs that are old enough",
    ),
    "scheduling/upkeep/retention/platform_rows.py": (
        {"prune_platform_rows"},
        "workers and runs of upkeep are the platform's",
    ),
    "scheduling/statistics/rollups.py": (
        {"fold_tallies", "prune_rollups"},
        "what ended is counted for all tenants at once",
    ),
    "scheduling/execution/settlement.py": ({"settle"}, "capacity and charges are settled across tenants"),
    "scheduling/stops/drains.py": ({"note_drained"}, "what is left of a drain may be any tenant's"),
    "scheduling/stops/expiry.py": ({"lift_due"}, "pauses of queues, kinds, pools and tenants end by themselves"),
    "scheduling/stops/pauses.py": (
        {"_drain", "_pause_row", "pause_kind", "resume_kind", "resume_pool", "resume_queue"},
        "queues, kinds and pools are the platform's, and their jobs all tenants'",
    ),
    "scheduling/stops/tenant_work.py": ({"cancel_running"}, "the platform cancels what runs for a tenant"),
    "scheduling/topology/service.py": (
        {"_update", "create_queue", "create_routing_rule", "create_worker_pool", "update_routing_rule"},
        "pools, queues and rules are the platform's",
    ),
    "scheduling/upkeep/retention/steps.py": (
        {"_prune_batches", "_prune_jobs", "_prune_tenants", "request_audit_pruning"},
        "the cutoffs of many tenants are read at once",
    ),
    "scheduling/celery/beat_tasks.py": ({"find_undelivered"}, "beat's tasks and the pools are the platform's"),
    "scheduling/upkeep/runs.py": (
        {"_begin", "has_begun_since", "request_upkeep", "write"},
        "upkeep is the platform's, and so are its results",
    ),
    "scheduling/upkeep/tenant_runs.py": (
        {"_resume", "republish_idle_runs", "run_tenant_upkeep"},
        "workers continue the requested runs of all tenants",
    ),
    "scheduling/fleet/announced_kinds.py": (
        {"refresh_announced_kinds", "tend_announced_kinds"},
        "workers are the platform's and serve all tenants",
    ),
    "scheduling/fleet/workers.py": (
        {"_switch", "enter_again", "register_worker", "retire_worker"},
        "workers are the platform's and serve all tenants",
    ),
    "scheduling/worker/preloading.py": ({"kinds_served"}, "what a pool serves is no tenant's affair"),
    "tenants/tenancy/api.py": ({"PlatformTenantViewSet.list"}, "the platform's people see all tenants"),
    "tenants/middleware.py": ({"_context_of"}, "platform staff that names no tenant works through the door"),
    "tenants/migrations/_seeds.py": ({"create_plans"}, "FORCE binds the owner, who writes the first plans"),
    "scheduling/migrations/_seeds.py": ({"create_queues"}, "FORCE binds the owner, who writes the first queues"),
    "tenants/database/rls.py": (
        {"AddCompositeForeignKey._refuse_orphans"},
        "under FORCE the owner would count no orphans at all",
    ),
    "tenants/access/key_queries.py": (
        {"find_api_key", "find_valid_keys"},
        "a command names a key, not its tenant; a wait asks again for its own",
    ),
    "tenants/tenancy/queries.py": (
        {"read_page", "find_tenant"},
        "a walk over all tenants asks for the next of them; whoever knocks has no context yet",
    ),
    "tenants/access/people_queries.py": ({"find_places"}, "whoever knocks has no context yet"),
    "tenants/context.py": ({"look_through_door"}, "within a transaction this door is the other one"),
    "tenants/access/api_keys.py": ({"_find"}, "the key says which tenant it is, not the caller"),
    "tenants/access/invitations.py": (
        {"accept_with_new_account", "find_invitation"},
        "the link says which tenant it is; an account is no tenant's",
    ),
    "tenants/encryption/service.py": (
        {"make_missing_keys", "replace_keys", "rewrap_keys"},
        "a master key is changed for all tenants at once",
    ),
    "scheduling/upkeep/stored_values.py": ({"seal_page"}, "the stored values of all tenants are sealed page by page"),
    "scheduling/management/commands/encrypt_stored_values.py": (
        {"_record"},
        "an operator seals the stored values of all tenants at once",
    ),
    "tenants/access/key_warnings.py": (
        {"warn_of_next_ending_key"},
        "upkeep finds the keys of all tenants that end soon, and warns in the scope of each",
    ),
    "tenants/access/locked_names.py": ({"unlock_logins", "unlock_user"}, "accounts are no tenant's"),
    "tenants/access/people.py": (
        {
            "activate_user",
            "change_password",
            "create_platform_admin",
            "deactivate_user",
            "grant_platform_role",
            "record_password_change",
            "revoke_platform_role",
        },
        "accounts and platform roles are no tenant's",
    ),
    "tenants/access/session_acts.py": ({"_record"}, "an account is no tenant's, nor are its log-ins"),
    "tenants/audit/export.py": (
        {"_read_pages"},
        "an export is read after its request's transaction is gone, in the scope that the request had",
    ),
    "tenants/audit/heads.py": ({"last_heads", "sign_heads"}, "the chains of all tenants are signed"),
    "tenants/audit/pruning.py": (
        {"erase_chain", "prune_audit"},
        "one auditor prunes the chains of all tenants",
    ),
    "tenants/audit/removals.py": (
        {"_advance", "_is_erasure_recorded", "carry_out_removals", "request_removal"},
        "only the platform's role may request a removal, and one auditor carries them out",
    ),
    "tenants/audit/verification.py": ({"chain_scope"}, "the chains of all tenants are verified"),
    "tenants/limits/service.py": (
        {"clear_tenant_limit", "set_tenant_limit"},
        "what a tenant may is the platform's to say",
    ),
    "tenants/erasure/proof.py": (
        {"find_erasure", "verify_erasure"},
        "the record of an erasure is the platform's, and its tenant is gone",
    ),
    "tenants/erasure/requests.py": ({"cancel_erasure", "request_erasure"}, "the platform erases a tenant"),
    "tenants/erasure/steps.py": ({"advance", "due_erasures"}, "the platform erases a tenant"),
    "tenants/plans/service.py": (
        {"create_plan", "create_tier", "update_tier"},
        "plans are the platform's, and their tenants are told at once",
    ),
    "tenants/versions/hooks.py": (
        {"VersionHooks.scope"},
        "plans are the platform's; kinds of tenants' rows name their tenant",
    ),
    "tenants/audit/sealing.py": ({"_seal_turn"}, "one auditor serves the chains of all tenants"),
    "tenants/tenancy/service.py": (
        {
            "_change",
            "_stop",
            "change_plan",
            "create_tenant",
            "lift_due_stops",
            "reinstate_tenant",
            "resume_tenant",
            "suspend_tenant",
        },
        "only the platform may write a tenant's own row",
    ),
}
