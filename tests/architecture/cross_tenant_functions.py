"""List of all cross-tenant functions: a new one is added on purpose, and is visible in the review of this file."""

from __future__ import annotations

# By file: the functions that access all tenants, and the reason.
EXPECTED: dict[str, tuple[set[str], str]] = {
    "workloads/workflows/upkeep.py": (
        {"sweep_ended_runs"},
        "upkeep removes remains of the runs of all tenants",
    ),
    "jobsplatform/demo/readings.py": (
        {"read_counts", "read_executions", "read_death_reasons", "read_runs"},
        "the demo compares its tenants",
    ),
    "jobsplatform/demo/provision.py": (
        {"_raise_request_rates"},
        "the demo raises its plans' rates",
    ),
    "jobsplatform/health/metrics.py": ({"PlatformCollector.collect"}, "the metrics are global, by queue"),
    "jobsplatform/health/probes.py": (
        {"Auditor.run", "Dispatcher._age", "Publishing.run"},
        "the probe measures the platform, not a tenant",
    ),
    "scheduling/regions/queries.py": ({"read_regions"}, "shows the load of each region over all tenants"),
    "scheduling/regions/labels.py": ({"label_data"}, "ticks that stop, and the reroute, are of all tenants"),
    "workloads/documents/indexing/ahead.py": (
        {"_next_contents"},
        "a machine fetches the files of all tenants whose jobs its pool runs next",
    ),
    "scheduling/topology/api.py": ({"QueueViewSet.list"}, "platform staff reads global numbers"),
    "scheduling/checks.py": ({"_ask"}, "clocks and queues belong to the platform"),
    "scheduling/management/commands/prune_finished.py": (
        {"_record", "pages"},
        "an operator removes the ended jobs of all tenants at once",
    ),
    "scheduling/bulk/commands.py": (
        {"BulkCommand._run"},
        "an operator selects the jobs of one tenant or of all",
    ),
    "scheduling/bulk/turns.py": (
        {"open_operations", "take_turn", "note_failure", "run_to_end"},
        "a dispatcher continues the operations of all tenants, each in the scope in which it was started",
    ),
    "scheduling/management/commands/explain_job.py": ({"Command.handle"}, "an operator names a job by its id only"),
    "scheduling/breakers/api.py": (
        {"CircuitViewSet.list", "SharedCircuitViewSet.list"},
        "a shared breaker belongs to no tenant; a tenant reads its state, and nothing about other tenants",
    ),
    "scheduling/bulk/effect.py": (
        {"read_effect"},
        "waits depend on the work of all tenants; a tenant reads only its own wait",
    ),
    "scheduling/observability/pool_load.py": ({"read_pool_load"}, "a pool works for all tenants"),
    "scheduling/fleet/queries.py": ({"find_running_workers"}, "what a worker has in hand is all tenants'"),
    "scheduling/breakers/service.py": ({"_scope_of"}, "a breaker that all tenants share is forced open or closed"),
    "scheduling/breakers/dependencies.py": (
        {"check_breaker", "report_probe_result"},
        "a running job reads the state of shared breakers",
    ),
    "scheduling/management/commands/list_circuits.py": (
        {"Command.handle"},
        "an operator lists the breakers of all tenants",
    ),
    "scheduling/management/commands/list_schedules.py": (
        {"Command.handle"},
        "an operator lists the schedules of all tenants",
    ),
    "scheduling/schedules/commands.py": ({"schedule_scope"}, "an id on the command line does not name its tenant"),
    "scheduling/log_search/segments.py": (
        {"index_lines", "add_late_lines", "remove_empty_segments"},
        "a dispatcher indexes the log lines of all tenants",
    ),
    "scheduling/log_search/measures.py": (
        {"QueryReader.read", "QueryReader._count"},
        "a rule of the platform counts the log lines of all tenants",
    ),
    "scheduling/log_search/api.py": ({"PlatformLogViewSet.list"}, "platform staff reads the platform's own lines"),
    "scheduling/log_search/platform_lines.py": ({"LineStore.store"}, "these lines belong to the platform"),
    "scheduling/management/commands/search_logs.py": (
        {"Command._print"},
        "an operator searches the log lines of one tenant or of all",
    ),
    "scheduling/management/commands/tail_job.py": (
        {"find_job"},
        "an operator names a job by its id, not by its tenant",
    ),
    "scheduling/stops/api.py": (
        {"StoppableViewSet.state_of", "WorkerViewSet._answer", "WorkerViewSet.list"},
        "platform staff reads global numbers, regardless of the named tenant",
    ),
    "scheduling/stops/commands.py": (
        {"find_worker", "read_state"},
        "an operator reads the state of a queue, kind, pool or worker for all tenants",
    ),
    "scheduling/management/commands/run_upkeep.py": (
        {"Command.handle"},
        "upkeep and its record belong to the platform",
    ),
    "workloads/documents/chunks/queries.py": (
        {"_iterate_text"},
        "a download reads its next pages in the scope of its request, which has ended",
    ),
    "workloads/documents/management/commands/build_search_indexes.py": (
        {"large_datasets"},
        "the command finds the datasets of all tenants that are too large for exact search",
    ),
    "scheduling/jobs/batches/folding.py": ({"fold_batches"}, "ended jobs belong to all tenants"),
    "scheduling/jobs/batches/firing.py": (
        {"fire_batches"},
        "ended batches of all tenants are found; each is processed in its tenant's scope",
    ),
    "scheduling/jobs/batches/cancelling.py": ({"tend_cancellations"}, "cancelled batches belong to all tenants"),
    "workloads/triggers/receiving.py": (
        {"_find", "_record"},
        "a trigger is found by its public id, which names its tenant; legal holds are of the platform",
    ),
    "workloads/model_endpoints/migrations/0002_endpoints_of_settings.py": (
        {"create_endpoints"},
        "a migration fills the rows of all tenants",
    ),
    "workloads/model_endpoints/upkeep.py": (
        {"prune_model_usage"},
        "upkeep removes old rows of all tenants",
    ),
    "workloads/webhooks/upkeep.py": (
        {"prune_deliveries"},
        "upkeep removes old rows of all tenants",
    ),
    "workloads/workflows/records/upkeep.py": (
        {"prune_runs"},
        "upkeep removes the old runs of all tenants",
    ),
    "workloads/pipelines/upkeep.py": (
        {"close_runs", "_close_entities", "prune_runs"},
        "upkeep closes and removes the pipeline runs of all tenants",
    ),
    "workloads/files/upkeep.py": (
        {"sweep_artifacts", "sweep_contents", "_find_missing_files"},
        "upkeep checks the files of all tenants",
    ),
    "workloads/files/mirror.py": ({"_count", "_pages"}, "the files of all tenants are copied to another site"),
    "scheduling/dispatch/effects.py": ({"EffectDuties._read"}, "a dispatcher looks for the messages of all tenants"),
    "scheduling/outbox/pending.py": ({"PendingCounter.take_turn"}, "a dispatcher counts the messages of all tenants"),
    "workloads/files/state_checks.py": (
        {"check_files", "check_use", "check_references"},
        "the files of all tenants are compared with the storage and with their references",
    ),
    "workloads/documents/state_checks.py": (
        {"check_chunks"},
        "the documents of all tenants are compared with their chunks",
    ),
    "tenants/limits/recounts.py": ({"StoredCounter.verify_page"}, "the counters of every tenant are recounted"),
    "scheduling/streams/feed.py": (
        {"EventFeed._send_live"},
        "one reader serves the clients of many tenants; each receives its own tenant's events",
    ),
    "scheduling/jobs/waits/job_eta.py": (
        {"read_start"},
        "the start of a job depends on the work of all tenants; only the time is shown",
    ),
    "scheduling/diagnosis/starts.py": (
        {"find_stalled_pools"},
        "starts of a pool depend on all tenants; only the names of pools are shown",
    ),
    "scheduling/jobs/waits/start_conditions.py": (
        {"read_start_conditions"},
        "the use of a queue's cap depends on all tenants; no number of it is shown",
    ),
    "scheduling/jobs/waits/reasons.py": (
        {"why_waiting"},
        "opened once for the standing and the outlook of one job, which depend on all tenants",
    ),
    "scheduling/what_if/recent_load.py": (
        {"read_recent_load"},
        "a what-if replays the work of all tenants of a pool; it requires the right to global numbers",
    ),
    "scheduling/plans/queries.py": ({"open_reroute"}, "routing belongs to the platform"),
    "scheduling/management/commands/move_backlog.py": ({"Command.handle"}, "waiting jobs belong to all tenants"),
    "scheduling/fleet/queue_consumers.py": ({"measure_queues"}, "queues and workers belong to the platform"),
    "scheduling/plans/service.py": (
        {"activate_cfs_plan", "create_cfs_plan"},
        "the order among tenants is set by the platform",
    ),
    "scheduling/alerts/acts.py": (
        {"_change", "silence"},
        "an act is in the scope of its caller: platform staff act on alerts of the platform and of all tenants",
    ),
    "scheduling/alerts/backtest.py": ({"_find_start"}, "the evaluated minutes belong to no tenant"),
    "scheduling/alerts/causes.py": ({"count_causes"}, "a dispatcher counts the causes of all tenants"),
    "scheduling/alerts/evaluator.py": (
        {"Evaluator.take_turn", "Evaluator._read_next"},
        "a dispatcher evaluates the rules of the platform and of all tenants",
    ),
    "scheduling/alerts/incidents.py": ({"flush_incidents"}, "incidents belong to the platform"),
    "scheduling/investigation/service.py": (
        {"investigate", "record_outcome"},
        "an investigation is in the scope of its caller: platform staff investigate all tenants",
    ),
    "scheduling/investigation/sources.py": (
        {"_read_platform"},
        "a tenant sees whether the platform had a fault at the time, and no detail of it",
    ),
    "scheduling/management/commands/investigate.py": (
        {"Command.handle"},
        "an operator names an alert or a cause of any tenant",
    ),
    "scheduling/management/commands/ack_alert.py": ({"Command.handle"}, "an operator names an alert"),
    "scheduling/management/commands/silence_alert.py": (
        {"Command.handle"},
        "an operator names an alert by its id only",
    ),
    "scheduling/management/commands/list_alerts.py": (
        {"Command.handle"},
        "an operator lists the alerts of all tenants",
    ),
    "scheduling/management/commands/check_alert_rule.py": (
        {"Command.handle"},
        "an operator tests the platform's rules",
    ),
    "scheduling/migrations/0019_alert_messages.py": (
        {"add_default_group"},
        "the default group belongs to the platform",
    ),
    "scheduling/alerts/delivery.py": (
        {"claim", "settle"},
        "messages of the platform and of all tenants are delivered by jobs of one tenant",
    ),
    "scheduling/alerts/messages.py": (
        {"send_notice"},
        "the job of a tenant's message belongs to the tenant of alerts",
    ),
    "scheduling/alerts/outage.py": (
        {"OutageWatch.prepare"},
        "the platform's contacts are notified if the database does not respond",
    ),
    "scheduling/alerts/sender.py": (
        {"send_overdue", "beat"},
        "a dispatcher sends the messages of all tenants that no job has claimed",
    ),
    "scheduling/subscriptions/relay.py": (
        {"EventRelayer.take_turn"},
        "one relay reads for all subscribed tenants; deliveries are submitted in each tenant's scope",
    ),
    "scheduling/statistics/gauges.py": (
        {"sample_gauges"},
        "queues and pools belong to the platform, and tenants are sampled together",
    ),
    "scheduling/anomalies/baselines.py": ({"tend_baselines"}, "upkeep learns what is usual for all tenants"),
    "scheduling/configuration/service.py": ({"Configured._scope"}, "rows of the platform belong to no tenant"),
    "scheduling/backups/service.py": ({"_finish", "delete_backup"}, "backups belong to the platform"),
    "scheduling/backups/restore.py": ({"_record", "_restore_part"}, "backups belong to the platform"),
    "scheduling/backups/plans.py": (
        {"find_due_plans", "run_plan", "_begin", "record_backup", "_delete_expired"},
        "backups belong to the platform",
    ),
    "scheduling/backups/tenant_restore.py": ({"restore_tenant"}, "the platform restores a tenant that is suspended"),
    "scheduling/management/commands/restore_tenant.py": (
        {"Command.handle"},
        "the platform restores a tenant that is suspended",
    ),
    "scheduling/backups/state_snapshot.py": ({"take_snapshot"}, "snapshots belong to the platform"),
    "scheduling/backups/canary.py": ({"run_canary"}, "it runs in a scratch database, with a tenant of its own"),
    "scheduling/backups/drill.py": ({"run_drill", "_check"}, "backups belong to the platform"),
    "scheduling/evidence/service.py": (
        {"make_packs", "_settle"},
        "upkeep makes the packs of all tenants, and delivers their links",
    ),
    "scheduling/archive/service.py": ({"remove_unfinished"}, "upkeep removes unfinished objects of all tenants"),
    "scheduling/management/commands/restore_archive.py": (
        {"Command.handle"},
        "an operator names a job or an object by its id only",
    ),
    "tenants/holds/service.py": ({"place_hold", "release_hold"}, "holds are placed and released by the platform"),
    "tenants/holds/api.py": ({"LegalHoldViewSet.list"}, "platform staff read the holds of all tenants"),
    "tenants/management/commands/erase_tenant.py": ({"Command._act"}, "a hold on the tenant refuses its erasure"),
    "scheduling/outbox/relay.py": ({"OutboxRelay.take_turn"}, "a dispatcher delivers the messages of all tenants"),
    "scheduling/compensation/duty.py": ({"compensate"}, "a dispatcher compensates the work of all tenants"),
    "scheduling/priority_rules/acting.py": ({"PriorityWatch.take_turn"}, "rules move jobs of all tenants"),
    "scheduling/priority_rules/what_if.py": ({"what_if_rule"}, "platform staff replay the starts of all tenants"),
    "scheduling/sites/duty.py": (
        {"guard_site", "SiteWatch.take_turn", "renew", "note_fault"},
        "a dispatcher renews the epoch of the site",
    ),
    "scheduling/sites/service.py": (
        {"plan_promotion", "promote", "_require_second_person", "_wait_until_writable", "_store"},
        "the site belongs to the platform",
    ),
    "scheduling/sites/compare.py": (
        {"find_lost", "_missing_of", "_describe"},
        "an operator compares the jobs of all tenants",
    ),
    "scheduling/load/duty.py": ({"LoadWatch.take_turn"}, "a dispatcher measures the platform and its pools"),
    "scheduling/controls/queries.py": ({"_read_document"}, "controls of the platform are about jobs of all tenants"),
    "scheduling/management/commands/override_controls.py": (
        {"Command.handle"},
        "an operator names a job by its id only",
    ),
    "scheduling/load/queries.py": ({"_read_document"}, "load states belong to the platform"),
    "scheduling/load/service.py": ({"force_level", "release_level"}, "load states belong to the platform"),
    "scheduling/load/api.py": ({"LoadViewSet.states"}, "load states belong to the platform"),
    "scheduling/management/commands/load_state.py": (
        {"Command.handle", "Command._check", "Command._report"},
        "load states belong to the platform",
    ),
    "scheduling/anomalies/duty.py": ({"AnomalyWatch.take_turn"}, "a dispatcher judges the series of all tenants"),
    "scheduling/management/commands/list_anomalies.py": (
        {"Command.handle"},
        "an operator lists the anomalies of all tenants",
    ),
    "scheduling/statistics/series.py": ({"fold_series"}, "counts of all tenants are added up together"),
    "scheduling/objectives/service.py": (
        {"check_objective"},
        "only the platform writes counts; those of one objective of the scope are deleted",
    ),
    "scheduling/shares/samples.py": ({"_take_sample"}, "entitlements are computed among all tenants"),
    "scheduling/consistency/history.py": (
        {"_find_ghosts", "check_job_events"},
        "orphaned history can be found only among the history of all tenants",
    ),
    "scheduling/consistency/chains.py": (
        {"check_audit_chains", "check_erasures"},
        "the chains and the erasures of all tenants are verified",
    ),
    "scheduling/consistency/counters.py": ({"_find_differences"}, "the counters include the work of all tenants"),
    "scheduling/consistency/rollups.py": (
        {"RollupCheck.check_page", "RollupCheck.finish"},
        "the rollups include the work of all tenants",
    ),
    "scheduling/consistency/sums.py": (
        {"_find_unbalanced", "find_usage", "check_usage"},
        "the charges and the worker time of all tenants are compared",
    ),
    "scheduling/consistency/verification.py": ({"_repair"}, "faults of all tenants are repaired"),
    "scheduling/consistency/walk.py": ({"Table.look"}, "the state of all tenants is compared"),
    "scheduling/diagnosis/checks.py": (
        {"check_flow", "check_refused", "check_site"},
        "the diagnosis covers the platform",
    ),
    "scheduling/diagnosis/service.py": ({"_liveness_checks", "_number_checks"}, "the diagnosis covers the platform"),
    "scheduling/dispatch/broker_faults.py": (
        {"record_broker_outage", "record_refused_republish", "record_refused_hints"},
        "the clock of a pool belongs to no tenant",
    ),
    "scheduling/dispatch/republish.py": ({"republish_unstarted"}, "dispatch serves all tenants at once"),
    "scheduling/breakers/state.py": (
        {"prune_circuits"},
        "idle breakers, and jobs without their breaker, may belong to any tenant",
    ),
    "scheduling/dispatch/slices.py": (
        {"request_slice_yields", "request_yields_in_pool"},
        "the pick of yielding executions compares all tenants",
    ),
    "scheduling/dispatch/take_back.py": ({"take_back_held"}, "a list has executions of many tenants"),
    "scheduling/dispatch/tick.py": ({"_run_tick"}, "dispatch serves all tenants at once"),
    "scheduling/execution/start.py": ({"_started_of"}, "a message names executions, not their tenants"),
    "scheduling/execution/checkpoints.py": ({"save_progress_many"}, "a process runs jobs of many tenants"),
    "scheduling/execution/holds.py": (
        {"begin_next_here", "read_hold", "settle_and_begin"},
        "a list has executions of many tenants",
    ),
    "scheduling/execution/leases.py": ({"heartbeat"}, "a worker renews leases of executions of many tenants"),
    "scheduling/limits/admission.py": ({"expire_limits"}, "overrides expire and months end for all tenants"),
    "scheduling/execution/logs/service.py": ({"append_job_logs"}, "the jobs of a message may be of several tenants"),
    "scheduling/jobs/fair_share_nodes.py": ({"delete_idle_key_nodes"}, "upkeep removes idle lines of all tenants"),
    "scheduling/upkeep/partitions.py": (
        {"_make", "_midnight", "list_partitions"},
        "partitions hold the rows of all tenants",
    ),
    "scheduling/plans/due_versions.py": (
        {"apply_due_versions"},
        "due versions of all tenants are found",
    ),
    "scheduling/fleet/processes.py": ({"ProcessPulse.beat"}, "dispatchers and beat belong to the platform"),
    "scheduling/execution/lost_sessions.py": ({"end_lost_sessions"}, "a lost worker ran jobs of many tenants"),
    "scheduling/execution/rescue.py": ({"_lead_and"}, "the sweep finds dead executions of all tenants"),
    "scheduling/dispatch/rejected_rows.py": (
        {"quarantine_rejected"},
        "the settled executions of a pool belong to all tenants",
    ),
    "scheduling/schedules/firing.py": (
        {"fire_due_schedules"},
        "any dispatcher fires the due schedules of all tenants",
    ),
    "scheduling/upkeep/retention/history.py": (
        {"drop_oldest_day", "prune_tenant_history"},
        "a day of history holds rows of all tenants, and each step serves any tenant with old ones",
    ),
    "scheduling/upkeep/retention/jobs.py": (
        {"_prune", "count_prunable", "prune_batches"},
        "each step serves any tenant with jobs that are old enough",
    ),
    "scheduling/upkeep/retention/platform_rows.py": (
        {"prune_platform_rows"},
        "workers and runs of upkeep belong to the platform",
    ),
    "scheduling/statistics/rollups.py": (
        {"fold_tallies", "prune_rollups"},
        "ended executions are counted for all tenants at once",
    ),
    "scheduling/execution/settlement.py": ({"settle"}, "capacity and charges are settled across tenants"),
    "scheduling/stops/drains.py": ({"note_drained"}, "the remaining jobs of a drain may belong to any tenant"),
    "scheduling/stops/expiry.py": ({"expire_due_stops"}, "pauses of queues, kinds, pools and tenants expire"),
    "scheduling/stops/pauses.py": (
        {"_drain", "_pause_row", "pause_kind", "resume_kind", "resume_pool", "resume_queue"},
        "queues, kinds and pools belong to the platform, and their jobs to all tenants",
    ),
    "scheduling/stops/tenant_work.py": ({"cancel_running"}, "the platform cancels the running jobs of a tenant"),
    "scheduling/topology/resources.py": ({"check_pool_class"}, "pools and queues belong to the platform"),
    "scheduling/topology/service.py": (
        {
            "_update",
            "create_queue",
            "create_routing_rule",
            "create_worker_pool",
            "update_queue",
            "update_routing_rule",
            "update_worker_pool",
        },
        "pools, queues and rules belong to the platform",
    ),
    "scheduling/upkeep/retention/steps.py": (
        {"_prune_batches", "_prune_jobs", "_prune_tenants", "prune_platform", "request_audit_pruning"},
        "the cutoffs of many tenants are read at once",
    ),
    "scheduling/celery/beat_tasks.py": ({"find_undelivered"}, "tasks of beat and pools belong to the platform"),
    "scheduling/upkeep/runs.py": (
        {"_begin", "has_begun_since", "request_upkeep", "save_run"},
        "upkeep and its results belong to the platform",
    ),
    "scheduling/upkeep/tenant_runs.py": (
        {"_resume", "republish_idle_runs", "run_tenant_upkeep"},
        "workers continue the requested runs of all tenants",
    ),
    "scheduling/fleet/announced_kinds.py": (
        {"refresh_announced_kinds", "tend_announced_kinds"},
        "workers belong to the platform and serve all tenants",
    ),
    "scheduling/fleet/blocks.py": ({"note_blocks"}, "workers belong to the platform and serve all tenants"),
    "scheduling/fleet/workers.py": (
        {"_switch", "restore_worker_row", "register_worker", "retire_worker"},
        "workers belong to the platform and serve all tenants",
    ),
    "scheduling/worker/preloading.py": ({"kinds_served"}, "the kinds of a pool belong to no tenant"),
    "tenants/tenancy/api.py": ({"PlatformTenantViewSet.list"}, "platform staff reads all tenants"),
    "tenants/middleware.py": ({"_context_of"}, "platform staff without a named tenant accesses all of them"),
    "workloads/documents/migrations/0013_model_of_each_dataset.py": (
        {"leave_one_model"},
        "FORCE applies to the owner, which updates vectors of all tenants",
    ),
    "tenants/migrations/_seeds.py": ({"create_plans"}, "FORCE applies to the owner, which inserts the first plans"),
    "scheduling/migrations/0005_pool_classes_and_rates.py": (
        {"refuse_other_rates"},
        "FORCE applies to the owner, which looks for rates of all tenants' executions",
    ),
    "scheduling/migrations/0009_io_pool.py": (
        {"add_pool", "remove_pool"},
        "FORCE applies to the owner, which changes schedules of all tenants",
    ),
    "scheduling/migrations/0016_schedule_templates.py": (
        {"refuse_schedules_of_templates"},
        "FORCE applies to the owner, which looks for schedules of all tenants",
    ),
    "scheduling/migrations/_alert_seeds.py": (
        {"create_rules", "add_rules"},
        "FORCE applies to the owner, which inserts the rules",
    ),
    "scheduling/migrations/0025_baselines.py": ({"delete_rule"}, "FORCE applies to the owner, which deletes a rule"),
    "scheduling/migrations/0030_shedding.py": ({"create_rules"}, "FORCE applies to the owner, which inserts the rules"),
    "scheduling/migrations/0031_backups.py": ({"delete_rules"}, "FORCE applies to the owner, which deletes rules"),
    "scheduling/migrations/0033_outbox.py": ({"delete_rules"}, "FORCE applies to the owner, which deletes rules"),
    "scheduling/migrations/0041_break_glass.py": ({"delete_rules"}, "FORCE applies to the owner, which deletes rules"),
    "scheduling/migrations/0045_batch_conditions.py": (
        {"fill_condition"},
        "FORCE applies to the owner, which fills the new column",
    ),
    "scheduling/migrations/0037_offers_and_needs.py": (
        {"run.run_statements"},
        "FORCE applies to the owner, which converts rows of the platform",
    ),
    "scheduling/migrations/0029_load_states.py": ({"delete_rules"}, "FORCE applies to the owner, which deletes rules"),
    "scheduling/migrations/_seeds.py": (
        {"create_queues"},
        "FORCE applies to the owner, which inserts the first queues",
    ),
    "tenants/database/rls.py": (
        {"AddCompositeForeignKey._refuse_orphans"},
        "under FORCE the owner would count no orphans",
    ),
    "tenants/access/key_queries.py": (
        {"find_api_key", "find_valid_keys"},
        "a command names a key, not its tenant; a long poll checks its own key again",
    ),
    "tenants/tenancy/provisioning.py": (
        {"_find_provisioned", "provision_tenant"},
        "the platform creates a tenant, or finds the one that it has created",
    ),
    "tenants/tenancy/queries.py": (
        {"read_page", "find_tenant"},
        "a walk over all tenants reads the next of them; a request has no context yet",
    ),
    "tenants/access/people_queries.py": ({"find_user_roles"}, "a request has no context before its login"),
    "tenants/context.py": ({"query_cross_tenant"}, "within a transaction the statement runs in all_tenants()"),
    "tenants/access/api.py": ({"PlatformKeyViewSet.dispatch"}, "the platform's keys belong to no tenant"),
    "tenants/access/api_keys.py": ({"scope_of"}, "the platform's keys belong to no tenant"),
    "tenants/access/caller.py": (
        {"_find", "authenticate_api_key"},
        "the key determines the tenant, not the caller; the platform's keys belong to none",
    ),
    "tenants/api/list_options.py": (
        {"ListOptions._read_pages"},
        "an export is read after its request's transaction has ended, in the scope of the request",
    ),
    "tenants/console/exports.py": (
        {"ExportMixin._read_pages"},
        "an export is read after its request's transaction has ended, in the scope of the request",
    ),
    "tenants/migrations/0002_platform_keys.py": (
        {"remove_platform_keys"},
        "the reversal removes keys that belong to no tenant",
    ),
    "tenants/access/invitations.py": (
        {"accept_with_new_account", "find_invitation"},
        "the link determines the tenant; an account belongs to no tenant",
    ),
    "tenants/encryption/service.py": (
        {"make_missing_keys", "replace_keys", "rewrap_keys"},
        "a master key is replaced for all tenants at once",
    ),
    "scheduling/upkeep/stored_values.py": ({"seal_page"}, "the stored values of all tenants are sealed page by page"),
    "scheduling/management/commands/encrypt_stored_values.py": (
        {"_record"},
        "an operator seals the stored values of all tenants at once",
    ),
    "tenants/access/key_warnings.py": (
        {"warn_of_next_ending_key"},
        "upkeep finds keys of all tenants that expire soon, and warns in the scope of each",
    ),
    "tenants/access/locked_names.py": ({"unlock_logins", "unlock_user"}, "accounts belong to no tenant"),
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
        "accounts and platform roles belong to no tenant",
    ),
    "tenants/approvals/service.py": (
        {"_decide", "_person_of", "_store", "_take", "approve", "require_approval"},
        "requests are written by the platform, after a member was refused, or has decided",
    ),
    "tenants/approvals/mails.py": ({"mail_next_expired"}, "upkeep finds the expired requests of all tenants"),
    "tenants/reviews/service.py": (
        {"close_review", "decide", "open_review", "refresh_review"},
        "a review without a tenant is about accounts and keys of the platform",
    ),
    "tenants/management/commands/access_reviews.py": ({"Command.handle"}, "an operator reviews any tenant"),
    "tenants/management/commands/approvals.py": (
        {"Command._ask", "Command.handle"},
        "an operator decides about requests of all tenants",
    ),
    "tenants/access/viewing.py": ({"end_view", "start_view"}, "platform staff choose the tenant to view"),
    "scheduling/identity/api.py": ({"ClaimRuleViewSet.dispatch"}, "claim rules belong to no tenant"),
    "tenants/identity/adapters.py": ({"ProviderAdapter.save_user"}, "an account belongs to no tenant"),
    "tenants/identity/factors.py": (
        {"record_factor_added", "record_factor_removed", "remove_factors"},
        "an account and its second factors belong to no tenant",
    ),
    "tenants/identity/service.py": (
        {"apply_claims", "gives_role", "record_refused_sign_in"},
        "the rules of all tenants decide which of them an account belongs to",
    ),
    "tenants/access/session_audit.py": ({"_record"}, "an account and its logins belong to no tenant"),
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
        "limits of a tenant are set by the platform",
    ),
    "tenants/erasure/proof.py": (
        {"find_erasure", "verify_erasure"},
        "the record of an erasure is the platform's, and its tenant no longer exists",
    ),
    "tenants/erasure/requests.py": ({"cancel_erasure", "request_erasure"}, "the platform erases a tenant"),
    "tenants/erasure/steps.py": ({"advance", "due_erasures"}, "the platform erases a tenant"),
    "tenants/plans/service.py": (
        {"create_plan", "create_tier", "update_tier"},
        "plans belong to the platform, and changes apply to their tenants at once",
    ),
    "tenants/versions/hooks.py": (
        {"VersionHooks.scope"},
        "plans belong to the platform; versioned rows of tenants name their tenant",
    ),
    "tenants/audit/sealing.py": ({"_seal_turn"}, "one auditor serves the chains of all tenants"),
    "tenants/tenancy/service.py": (
        {
            "_change",
            "_stop",
            "create_tenant",
            "expire_due_tenant_stops",
            "reinstate_tenant",
            "resume_tenant",
            "suspend_tenant",
        },
        "only the platform may write a tenant's own row",
    ),
}
