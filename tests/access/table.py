"""Rights of every route, written by hand and compared with the server's declarations and behaviour.

A new route is one line. `{job}`, `{key}`, … are rows of the cast (`tests/integration/access/world.py`); an unknown
placeholder is a row that does not exist, for which a permitted caller gets 404. After the right follow, if needed, a
JSON body and the status with the right (2xx if omitted). `anyone` needs no login, `console` any login to the console.
"""

from __future__ import annotations

ROLES = (
    "anonymous",
    "outsider",
    "viewer",
    "developer",
    "owner",
    "key",  # with the default scopes
    "one_scope",  # a key with only jobs.view
    "auditor",
    "operator",
    "admin",
)

# Holders of each right, independently of `tenants/access/permissions.py`.
HOLDERS = """
tenant.view        viewer developer owner key           auditor operator admin
tenant.manage                       owner                                admin
tenant.pause              developer owner key                   operator admin
members.view       viewer developer owner key           auditor operator admin
members.manage                      owner                                admin
api_keys.view             developer owner key           auditor operator admin
api_keys.manage                     owner                                admin
jobs.view          viewer developer owner key one_scope auditor operator admin
jobs.submit               developer owner key                   operator admin
jobs.cancel               developer owner key                   operator admin
jobs.retry                developer owner key                   operator admin
jobs.bulk                 developer owner key                   operator admin
templates.run      viewer developer owner key                   operator admin
templates.manage          developer owner key                            admin
jobs.results              developer owner key                            admin
jobs.reveal               developer owner                                admin
logs.view          viewer developer owner key           auditor operator admin
datasets.view      viewer developer owner key           auditor operator admin
datasets.manage           developer owner key                            admin
files.view         viewer developer owner key           auditor operator admin
files.download            developer owner key                            admin
files.manage              developer owner key                            admin
workflows.view     viewer developer owner key           auditor operator admin
workflows.manage          developer owner key                            admin
workflows.approve         developer owner                                admin
pipelines.view     viewer developer owner key           auditor operator admin
pipelines.manage          developer owner key                            admin
schedules.view     viewer developer owner key           auditor operator admin
schedules.manage          developer owner key                   operator admin
webhooks.manage                     owner                                admin
alerts.respond            developer owner key                   operator admin
alerts.manage                       owner                       operator admin
secrets.use               developer owner key                            admin
secrets.manage                      owner                                admin
audit.view                developer owner key           auditor operator admin
audit.export                        owner               auditor operator admin
approvals.decide          developer owner                       operator admin
platform.view                                           auditor operator admin
queues.operate                                                  operator admin
tenants.operate                                                 operator admin
tenants.manage                                                           admin
tenants.erase                                                            admin
plans.manage                                                             admin
fairness.manage                                                          admin
upkeep.run                                                      operator admin
backups.manage                                                           admin
controls.manage                                                          admin
controls.override                                                        admin
people.view                                             auditor operator admin
people.manage                                                            admin
"""

# Method, path under /api/v1/, right, body, status.
API = """
GET    .                                     anyone
GET    schema/                               anyone
GET    docs/                                 anyone
GET    tenants/me/                           tenant.view
POST   tenants/me/pause/                     tenant.pause      {"reason": "holiday"}
POST   tenants/me/drain/                     tenant.pause      {"reason": "moving"}
POST   tenants/me/resume/                    tenant.pause      {}
GET    tenants/                              platform.view
POST   tenants/                              tenants.manage    {"slug": "initech", "plan": "team", "owner": "bill@initech.example"}
GET    tenants/globex/                       platform.view
PATCH  tenants/globex/                       tenants.manage    {"name": "Globex Corporation"}
POST   tenants/globex/suspend/               tenants.operate   {"reason": "unpaid"}
POST   tenants/globex/reinstate/             tenants.operate   {}
POST   tenants/globex/pause/                 tenants.operate   {"reason": "holiday"}
POST   tenants/globex/drain/                 tenants.operate   {"reason": "moving"}
POST   tenants/globex/resume/                tenants.operate   {}
GET    usage/                                tenant.view
POST   usage/submit_burst/override/          tenants.manage    {"value": 7, "reason": "a trial"}
POST   usage/submit_burst/clear/             tenants.manage    {"reason": "it is over"}
GET    tenants/me/settings/                  tenant.view
PATCH  tenants/me/settings/                  tenant.manage     {"values": {"timezone": "Asia/Tokyo"}}
GET    tenants/me/settings/schema/           tenant.view
GET    members/                              members.view
POST   members/                              members.manage    {"user": "newcomer"}
GET    invitations/                          members.view
GET    invitations/{invitation}/             members.view
POST   invitations/{invitation}/revoke/      members.manage    {}
GET    roles/                                members.view
POST   roles/                                members.manage    {"name": "new", "rights": ["jobs.view"]}
GET    roles/{role}/                         members.view
PATCH  roles/{role}/                         members.manage    {"rights": ["jobs.view"]}
DELETE roles/{role}/                         members.manage
GET    members/{member}/                     members.view
PATCH  members/{member}/                     members.manage    {"role": "developer"}
DELETE members/{member}/                     members.manage
GET    api-keys/                             api_keys.view
POST   api-keys/                             api_keys.manage   {"name": "new", "scopes": ["jobs.view"]}
GET    api-keys/{key}/                       api_keys.view
POST   api-keys/{key}/revoke/                api_keys.manage   {}
POST   api-keys/{key}/rotate/                api_keys.manage   {}
GET    platform-keys/                        people.view
POST   platform-keys/                        people.manage     {"name": "new", "scopes": ["tenants.manage"]}
GET    platform-keys/{platform_key}/         people.view
POST   platform-keys/{platform_key}/revoke/  people.manage     {"reason": "leaked"}
POST   platform-keys/{platform_key}/rotate/  people.manage     {"reason": "each quarter"}
GET    audit-log/                            audit.view
GET    audit-log/{entry}/                    audit.view
GET    jobs/                                 jobs.view
POST   jobs/                                 jobs.submit       {"kind": "noop"}
POST   jobs/bulk/                            jobs.submit       {"jobs": [{"kind": "noop"}]}
GET    jobs/{job}/                           jobs.view
GET    jobs/{job}/wait/                      jobs.view
GET    jobs/{job}/events/                    jobs.view
GET    jobs/{job}/executions/                jobs.view
GET    jobs/stream/                          jobs.view                                                                 503
GET    jobs/{job}/stream/                    jobs.view                                                                 503
GET    jobs/{job}/logs/                      logs.view
GET    jobs/{job}/notes/                     jobs.view
POST   jobs/{job}/notes/                     jobs.submit       {"text": "seen"}
GET    jobs/{job}/artifacts/                 files.view
GET    jobs/{job}/artifacts/{artifact}/      files.download                                                             302
GET    jobs/{job}/logs/download/             logs.view
GET    circuits/                             jobs.view
POST   circuits/noop/reset/                  jobs.retry        {"reason": "it is back"}
POST   circuits/noop/force/                  tenant.pause      {"state": "open", "reason": "it moves"}
GET    baselines/                            jobs.view                                                                 422
GET    correlation/                          jobs.view                                                                 422
GET    logs/                                 logs.view
GET    logs/platform/                        platform.view
GET    logs/summary/                         logs.view
GET    logs/{line}/around/                   logs.view
GET    errors/                               jobs.view
GET    errors/{fingerprint}/                 jobs.view
GET    fairness/                             jobs.view
GET    fairness/decisions/                   jobs.view
GET    heat-map/                             jobs.view
GET    anomalies/                            jobs.view
GET    objectives/                           jobs.view
POST   objectives/                           alerts.manage     {"name": "new", "kind": "noop"}
GET    objectives/{objective}/               jobs.view
PATCH  objectives/{objective}/               alerts.manage     {"target_share": 0.9}
DELETE objectives/{objective}/               alerts.manage
GET    evidence-packs/                       audit.view
POST   evidence-packs/                       audit.export      {"template": "gdpr", "since": "2019-01-01T00:00:00Z", "until": "2019-02-01T00:00:00Z", "is_empty_allowed": true}
GET    evidence-packs/{evidence_pack}/       audit.view
GET    evidence-packs/{evidence_pack}/download/ audit.export    409
PATCH  evidence-packs/{evidence_pack}/       audit.export      {"since": "2019-01-01T00:00:00Z", "until": "2019-02-01T00:00:00Z", "is_empty_allowed": true}
DELETE evidence-packs/{evidence_pack}/       audit.export
GET    evidence-schedules/                   audit.view
POST   evidence-schedules/                   audit.export      {"name": "new", "template": "soc2", "group": "ops", "is_empty_allowed": true}
GET    evidence-schedules/{evidence_schedule}/ audit.view
PATCH  evidence-schedules/{evidence_schedule}/ audit.export    {"is_enabled": false}
DELETE evidence-schedules/{evidence_schedule}/ audit.export
POST   jobs/{waiting}/cancel/                jobs.cancel       {}
POST   jobs/{waiting}/suspend/               jobs.cancel       {"reason": "wait for the data"}
POST   jobs/{waiting}/resume/                jobs.cancel       {"reason": "it is here"} 409
POST   jobs/{waiting}/override-controls/     controls.override {"reason": "agreed"} 409
GET    controls/                             jobs.view
POST   controls/                             controls.manage   {"name": "new", "checkpoint": "submission", "rule": "required_tags", "parameters": {"tags": ["x"]}, "may_hold_all": true}
GET    controls/{control}/                   jobs.view
POST   controls/{control}/preview/           jobs.view         {}
PATCH  controls/{control}/                   controls.manage   {"name": "changed"}
DELETE controls/{control}/                   controls.manage
POST   jobs/{job}/retry/                     jobs.retry        {}
GET    batches/                              jobs.view
POST   batches/                              jobs.submit       {"label": "new", "jobs": [{"kind": "noop"}]}
GET    batches/{batch}/                      jobs.view
GET    batches/{batch}/jobs/                 jobs.view
POST   batches/{batch}/jobs/                 jobs.submit       {"jobs": [{"kind": "noop"}]}  409
POST   batches/{batch}/close/                jobs.submit       {}
POST   batches/{batch}/cancel/               jobs.cancel       {"reason": "x"}
GET    bulk-operations/                      jobs.view
POST   bulk-operations/                      jobs.bulk         {"filter": "kind:noop", "operation": "cancel", "reason": "x"}
GET    bulk-operations/{bulk}/               jobs.view
POST   bulk-operations/{bulk}/abort/         jobs.bulk         {"reason": "x"}
POST   bulk-operations/{bulk}/undo/          jobs.bulk         {"reason": "x"}         409
GET    executions/{execution}/               logs.view
GET    dead-letters/                         jobs.view
GET    dead-letters/{letter}/                jobs.view
GET    dead-letters/groups/                  jobs.view
POST   dead-letters/{letter}/requeue/        jobs.retry        {}
GET    queues/                               platform.view
POST   queues/                               fairness.manage   {"name": "another", "pool": "default", "reason": "x"}
GET    queues/dataset/                       platform.view
PATCH  queues/dataset/                       fairness.manage   {"weight": 7, "reason": "x"}
POST   queues/dataset/pause/                 queues.operate    {"reason": "disk"}
POST   queues/dataset/resume/                queues.operate    {}
POST   cfs-plans/what-if/                    platform.view     {"slots": 3}
GET    schedules/                            schedules.view
POST   schedules/                            schedules.manage  {"name": "new", "kind": "noop", "cron": "0 3 * * *"}
POST   schedules/preview/                    schedules.view    {"cron": "0 3 * * *"}
GET    schedules/{schedule}/                 schedules.view
PATCH  schedules/{schedule}/                 schedules.manage  {"priority": 1}
DELETE schedules/{schedule}/                 schedules.manage
POST   schedules/{schedule}/backfill/        schedules.manage  {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
GET    schedules/{schedule}/fires/           schedules.view
POST   schedules/{schedule}/pause/           schedules.manage  {"reason": "x"}
POST   schedules/{schedule}/resume/          schedules.manage  {}
POST   schedules/{schedule}/run-now/         schedules.manage  {}
POST   queues/dataset/drain/                 queues.operate    {"reason": "moving"}
GET    job-kinds/                            jobs.view
GET    job-kinds/noop/                       jobs.view
GET    kinds/                                platform.view
GET    kinds/noop/                           platform.view
POST   kinds/noop/pause/                     queues.operate    {"reason": "bug"}
POST   kinds/noop/resume/                    queues.operate    {}
POST   kinds/noop/drain/                     queues.operate    {"reason": "moving"}
GET    shared-circuits/                      platform.view
POST   shared-circuits/noop/force/           queues.operate    {"state": "closed", "dependency": "api", "reason": "x"}
POST   shared-circuits/noop/reset/           queues.operate    {"dependency": "api"}   404
GET    pools/                                platform.view
POST   pools/                                fairness.manage   {"name": "another", "reason": "x"}
GET    pools/default/                        platform.view
PATCH  pools/default/                        fairness.manage   {"description": "the first", "reason": "x"}
POST   pools/default/pause/                  queues.operate    {"reason": "deploy"}
POST   pools/default/resume/                 queues.operate    {}
POST   pools/default/drain/                  queues.operate    {"reason": "deploy"}
GET    secrets/                              secrets.use
POST   secrets/                              secrets.manage    {"name": "new", "value": "a long enough value", "hosts": ["api.example.com"]}
GET    secrets/{secret}/                     secrets.use
POST   secrets/{secret}/versions/            secrets.manage    {"value": "another value"}
DELETE secrets/{secret}/                     secrets.manage
GET    alerts/                               jobs.view
GET    alerts/{alert}/                       jobs.view
POST   alerts/{alert}/acknowledge/           alerts.respond    {"note": "x"}
POST   alerts/{alert}/resolve/               alerts.respond    {"outcome": "helped"}
POST   alerts/{alert}/silence/               alerts.respond    {"reason": "x"}
GET    investigations/                       audit.view
POST   investigations/                       audit.view        {"kind": "noop", "began_at": "2026-01-01T00:00:00Z"}
GET    investigations/{investigation}/       audit.view
POST   investigations/{investigation}/outcome/ alerts.respond  {"cause": null, "has_helped": true}
GET    alert-rules/                          jobs.view
POST   shedding-rules/                       fairness.manage   {"name": "new", "position": 99, "action": "off", "feature": "streams"}
PATCH  shedding-rules/{shedding_rule}/       fairness.manage   {"is_enabled": false}
DELETE shedding-rules/{shedding_rule}/       fairness.manage
POST   priority-rules/                       fairness.manage   {"name": "new", "position": 99, "kind": "noop", "offset_seconds": 30}
PATCH  priority-rules/{priority_rule}/       fairness.manage   {"is_enabled": false}
DELETE priority-rules/{priority_rule}/       fairness.manage
POST   backup-plans/                         backups.manage    {"name": "new", "target": "/backups/new"}
PATCH  backup-plans/{backup_plan}/           backups.manage    {"is_enabled": false}
DELETE backup-plans/{backup_plan}/           backups.manage
POST   alert-rules/                          alerts.manage     {"name": "new", "measure": "oldest_wait", "per": "tenant", "threshold": 60, "confirm": true}
POST   alert-rules/preview/                  jobs.view         {"measure": "oldest_wait", "per": "tenant", "threshold": 60}
GET    alert-rules/{alert_rule}/             jobs.view
PATCH  alert-rules/{alert_rule}/             alerts.manage     {"severity": "info"}
DELETE alert-rules/{alert_rule}/             alerts.manage
GET    contact-groups/                       jobs.view
POST   contact-groups/                       alerts.manage     {"name": "new"}
GET    contact-groups/{group}/               jobs.view
PATCH  contact-groups/{group}/               alerts.manage     {"description": "x"}
DELETE contact-groups/{group}/               alerts.manage
GET    contacts/                             jobs.view
POST   contacts/                             alerts.manage     {"group": "ops", "channel": "slack", "target": "https://hooks.example.com/abcd"}
GET    contacts/{contact}/                   jobs.view
PATCH  contacts/{contact}/                   alerts.manage     {"per_hour": 5}
DELETE contacts/{contact}/                   alerts.manage
POST   contacts/{contact}/test/              alerts.respond    {}
POST   contacts/{contact}/enable/            alerts.manage     {}
GET    alert-routes/                         jobs.view
POST   alert-routes/                         alerts.manage     {"position": 7, "group": "ops"}
GET    alert-routes/{route}/                 jobs.view
PATCH  alert-routes/{route}/                 alerts.manage     {"position": 8}
DELETE alert-routes/{route}/                 alerts.manage
GET    alert-owners/                         jobs.view
POST   alert-owners/                         alerts.manage     {"target": "kind", "name": "noop", "group": "ops"}
GET    alert-owners/{alert_owner}/           jobs.view
PATCH  alert-owners/{alert_owner}/           alerts.manage     {"name": "sleep"}
DELETE alert-owners/{alert_owner}/           alerts.manage
GET    alert-silences/                       jobs.view
POST   alert-silences/                       alerts.respond    {"only_kind": "noop", "reason": "x"}
GET    alert-silences/{silence}/             jobs.view
PATCH  alert-silences/{silence}/             alerts.respond    {"reason": "y"}
DELETE alert-silences/{silence}/             alerts.respond
POST   alert-silences/{silence}/end/         alerts.respond    {}
GET    alert-messages/                       jobs.view
GET    alert-messages/{message}/             jobs.view
GET    jobs/{job}/archived/                  jobs.view         404
GET    compensations/                        jobs.view
GET    compensations/{compensation}/         jobs.view
POST   compensations/{compensation}/retry/   jobs.retry        {}
POST   compensations/{compensation}/settle/  jobs.retry        {"reason": "refunded by hand"}
GET    outbox-routes/                        jobs.view
POST   outbox-routes/                        webhooks.manage   {"name": "new", "topic": "order.*", "adapter": "webhook", "target": "ops"}
GET    outbox-routes/{outbox_route}/         jobs.view
PATCH  outbox-routes/{outbox_route}/         webhooks.manage   {"is_enabled": false}
DELETE outbox-routes/{outbox_route}/         webhooks.manage
GET    outbox/                               jobs.view
GET    outbox/{outbox_message}/              jobs.view
POST   outbox/{outbox_message}/retry/        jobs.retry        {"reason": "it is back"}
GET    event-triggers/                       jobs.view
POST   event-triggers/                       schedules.manage  {"name": "new", "topic": "order.paid", "kind": "noop"}
GET    event-triggers/{event_trigger}/       jobs.view
PATCH  event-triggers/{event_trigger}/       schedules.manage  {"is_enabled": false}
DELETE event-triggers/{event_trigger}/       schedules.manage
GET    events/                               jobs.view
POST   events/                               jobs.submit       {"topic": "order.paid", "source": "shop", "id": "2"}
GET    events/{event}/                       jobs.view
GET    webhook-triggers/                     jobs.view
POST   webhook-triggers/                     webhooks.manage   {"name": "new", "kind": "noop"}
GET    webhook-triggers/{webhook_trigger}/   jobs.view
PATCH  webhook-triggers/{webhook_trigger}/   webhooks.manage   {"is_enabled": false}
DELETE webhook-triggers/{webhook_trigger}/   webhooks.manage
POST   webhook-triggers/{webhook_trigger}/rotate/ webhooks.manage {"reason": "x"}
GET    webhook-triggers/{webhook_trigger}/deliveries/ jobs.view
POST   triggers/{webhook_trigger}/           anyone            {}  401
GET    model-endpoints/                      tenant.view
POST   model-endpoints/                      tenant.manage     {"name": "new", "url": "https://example.com/v1", "models": [{"name": "m", "use": "chat"}]}
GET    model-endpoints/{model_endpoint}/     tenant.view
PATCH  model-endpoints/{model_endpoint}/     tenant.manage     {"is_enabled": false}
DELETE model-endpoints/{model_endpoint}/     tenant.manage
POST   model-endpoints/{model_endpoint}/test/ jobs.submit      {"model": "none"} 409
GET    model-usage/                          tenant.view
GET    webhooks/                             tenant.view
POST   webhooks/                             webhooks.manage   {"name": "new", "url": "https://example.com/"}
GET    webhooks/{webhook}/                   tenant.view
PATCH  webhooks/{webhook}/                   webhooks.manage   {"events": ["job.completed"], "filter": "kind:noop"}
DELETE webhooks/{webhook}/                   webhooks.manage
POST   webhooks/{webhook}/rotate/            webhooks.manage   {"reason": "x"}
POST   webhooks/{webhook}/test/              jobs.submit       {}
GET    webhooks/{webhook}/deliveries/        jobs.view
GET    workers/                              platform.view
GET    workers/00000000-0000-7000-8000-000000000000/ platform.view 404
POST   workers/00000000-0000-7000-8000-000000000000/drain/ queues.operate {"reason": "scale in"} 404
POST   workers/00000000-0000-7000-8000-000000000000/resume/ queues.operate {} 404
GET    upkeep/                               platform.view
GET    upkeep/partitions/                    platform.view
POST   upkeep/partitions/run/                upkeep.run        {}
GET    upkeep-runs/                          audit.view
POST   upkeep-runs/                          audit.view        {"task": "verify_audit"}
GET    upkeep-runs/{upkeep_run}/             audit.view
GET    plans/                                platform.view
POST   plans/                                plans.manage      {"slug": "new", "name": "New", "tier": "team", "max_waiting_jobs": 9, "submits_per_minute": 9, "worker_seconds_per_month": 9, "reason": "x"}
GET    plans/team/                           platform.view
PATCH  plans/team/                           plans.manage      {"weight": 3, "reason": "launch"}
GET    plans/team/versions/                  platform.view
POST   plans/team/rollback/                  plans.manage      {"number": 1, "reason": "too much"}
POST   plans/team/withdraw/                  plans.manage      {"number": 1, "reason": "not yet"}  409
GET    cfs-plans/                            platform.view
POST   cfs-plans/                            fairness.manage   {"name": "night", "reason": "x"}
GET    cfs-plans/cloud/                      platform.view
PATCH  cfs-plans/cloud/                      fairness.manage   {"granularity_seconds": 60, "reason": "shorter"}
POST   cfs-plans/community/activate/         fairness.manage   {"reason": "drill"}
GET    cfs-plans/cloud/versions/             platform.view
POST   cfs-plans/cloud/rollback/             fairness.manage   {"number": 1, "reason": "too short"}
POST   cfs-plans/cloud/withdraw/             fairness.manage   {"number": 1, "reason": "not yet"}  409
GET    tiers/                                platform.view
POST   tiers/                                plans.manage      {"slug": "new", "name": "New", "rank": 99}
GET    tiers/team/                           platform.view
PATCH  tiers/team/                           plans.manage      {"name": "Teams"}
GET    shedding-rules/                       platform.view
POST   shedding-rules/                       fairness.manage   {"name": "new", "position": 99, "action": "off", "feature": "streams"}
GET    shedding-rules/{shedding_rule}/       platform.view
PATCH  shedding-rules/{shedding_rule}/       fairness.manage   {"is_enabled": false}
DELETE shedding-rules/{shedding_rule}/       fairness.manage
GET    claim-rules/                          people.view
POST   claim-rules/                          people.manage     {"claim": "groups", "value": "new", "role": "auditor"}
GET    claim-rules/{claim_rule}/             people.view
PATCH  claim-rules/{claim_rule}/             people.manage     {"is_confirmed": true}
DELETE claim-rules/{claim_rule}/             people.manage
GET    priority-rules/                       platform.view
POST   priority-rules/                       fairness.manage   {"name": "new", "position": 99, "kind": "noop", "offset_seconds": 30}
GET    priority-rules/{priority_rule}/       platform.view
POST   priority-rules/{priority_rule}/what-if/ platform.view  {}
PATCH  priority-rules/{priority_rule}/       fairness.manage   {"is_enabled": false}
DELETE priority-rules/{priority_rule}/       fairness.manage
GET    backup-plans/                         platform.view
POST   backup-plans/                         backups.manage    {"name": "new", "target": "/backups/new"}
GET    backup-plans/{backup_plan}/           platform.view
PATCH  backup-plans/{backup_plan}/           backups.manage    {"is_enabled": false}
DELETE backup-plans/{backup_plan}/           backups.manage
GET    backups/                              platform.view
GET    approval-rules/                       people.view
POST   approval-rules/                       people.manage     {"act": "erasure"}
GET    approval-rules/{approval_rule}/       people.view
PATCH  approval-rules/{approval_rule}/       people.manage     {"hours": 12}
DELETE approval-rules/{approval_rule}/       people.manage
GET    approval-requests/                    audit.view
GET    approval-requests/{approval_request}/ audit.view
POST   approval-requests/{approval_request}/approve/ approvals.decide {}
POST   approval-requests/{approval_request}/reject/ approvals.decide {"reason": "no"}
GET    access-reviews/                       audit.view
POST   access-reviews/                       members.manage    {} 409
GET    access-reviews/{access_review}/       audit.view
POST   access-reviews/{access_review}/decide/ members.manage   {"decision": "keep", "lines": ["0199d0a4-7c1e-7aaa-8000-0123456789ab"]}
POST   access-reviews/{access_review}/refresh/ members.manage  {}
POST   access-reviews/{access_review}/close/ members.manage    {} 409
GET    access-review-lines/                  audit.view
GET    access-review-lines/{access_line}/    audit.view
GET    legal-holds/                          platform.view
POST   legal-holds/                          tenants.manage    {"tenant": "acme", "reason": "case 9"} 201
POST   legal-holds/{hold}/release/           tenants.manage    {"reason": "settled"}
GET    regions/                              platform.view
GET    load/                                 platform.view
POST   load/platform/force/                  queues.operate    {"state": "busy", "reason": "x"}
POST   load/platform/release/                queues.operate    {"reason": "x"}
GET    diagnosis/                            platform.view
GET    routing-rules/                        platform.view
POST   routing-rules/                        fairness.manage   {"position": 5, "queue": "dataset", "reason": "x"}
GET    routing-rules/10/                     platform.view
PATCH  routing-rules/10/                     fairness.manage   {"is_active": false, "reason": "x"}
POST   routing-rules/test/                   platform.view     {"kind": "noop", "tier": "team"}
GET    datasets/                             datasets.view
POST   datasets/                             datasets.manage   {"name": "new"}
GET    datasets/{dataset}/                   datasets.view
PATCH  datasets/{dataset}/                   datasets.manage   {"description": "x"}
DELETE datasets/{dataset}/                   datasets.manage                           409
POST   datasets/{dataset}/search/            datasets.view     {"query": "x"}
POST   datasets/search/                      datasets.view     {"query": "x", "datasets": ["00000000-0000-7000-8000-000000000000"]} 404
GET    datasets/{dataset}/evaluations/       datasets.view
POST   datasets/{dataset}/evaluations/       datasets.manage   {}                      415
GET    evaluations/                          datasets.view
GET    evaluations/{evaluation}/             datasets.view
DELETE evaluations/{evaluation}/             datasets.manage
GET    evaluations/{evaluation}/comparison/  datasets.view                             422
GET    document-sources/                     datasets.view
POST   document-sources/                     datasets.manage   {"name": "new", "dataset": "00000000-0000-7000-8000-000000000000", "connector": "sitemap", "config": {"url": "https://docs.example.com/"}} 404
GET    document-sources/{source}/            datasets.view
PATCH  document-sources/{source}/            datasets.manage   {"max_documents": 5}
DELETE document-sources/{source}/            datasets.manage
POST   document-sources/{source}/sync/       datasets.manage
GET    document-sources/{source}/items/      datasets.view
GET    datasets/{dataset}/documents/         datasets.view
POST   datasets/{dataset}/documents/         datasets.manage   {}                      415
GET    documents/                            datasets.view
GET    documents/{document}/                 datasets.view
PATCH  documents/{document}/                 datasets.manage   {"metadata": {"year": 2026}}
DELETE documents/{document}/                 datasets.manage
POST   documents/{document}/pause/           datasets.manage   {"reason": "x"}
POST   documents/{document}/resume/          datasets.manage   {"reason": "x"}         409
POST   documents/{document}/retry/           datasets.manage   {"reason": "x"}         409
POST   documents/{document}/reindex/         datasets.manage   {}
POST   documents/{document}/replace/         datasets.manage   {}                      415
POST   datasets/{dataset}/documents/from-text/ datasets.manage {"name": "x", "text": "x"}
POST   datasets/{dataset}/documents/from-url/ datasets.manage  {"url": "https://example.com/x"}
POST   datasets/{dataset}/reindex/           datasets.manage   {}
POST   datasets/{dataset}/disable-documents/ datasets.manage   {"all": true}
POST   datasets/{dataset}/enable-documents/  datasets.manage   {"all": true}
POST   datasets/{dataset}/archive/           datasets.manage   {"reason": "x"}
POST   datasets/{dataset}/unarchive/         datasets.manage   {"reason": "x"}
POST   datasets/{dataset}/preview/           datasets.manage   {"text": "x"}
GET    datasets/{dataset}/reembed/           datasets.view                             422
POST   datasets/{dataset}/reembed/           datasets.manage   {"model": "use-multilingual-3"} 409
GET    datasets/{dataset}/chunks/            datasets.view
GET    documents/{document}/chunks/          datasets.view
GET    documents/{document}/text/            datasets.view
GET    chunks/{chunk}/                       datasets.view
PATCH  chunks/{chunk}/                       datasets.manage   {"text": "x", "reason": "x"}
GET    chunks/{chunk}/versions/              datasets.view
POST   chunks/{chunk}/add-after/             datasets.manage   {"text": "x", "reason": "x"}
POST   chunks/{chunk}/split/                 datasets.manage   {"offset": 3, "reason": "x"}
POST   chunks/{chunk}/merge/                 datasets.manage   {"reason": "x"}
POST   chunks/{chunk}/embed/                 datasets.manage   {"reason": "x"}
POST   chunks/{chunk}/restore/               datasets.manage   {"version": 1, "reason": "x"}
GET    files/                                files.view
POST   files/                                files.manage      {}                      415
GET    files/{file}/                         files.view
DELETE files/{file}/                         files.manage
POST   files/{file}/link/                    files.download    {}
GET    job-templates/                        jobs.view
POST   job-templates/                        templates.manage  {"name": "new", "content": {"kind": "noop"}}
GET    job-templates/{template}/             jobs.view
PATCH  job-templates/{template}/             templates.manage  {"description": "x"}
DELETE job-templates/{template}/             templates.manage
GET    job-templates/{template}/versions/    templates.manage
POST   job-templates/{template}/versions/    templates.manage  {"content": {"kind": "noop", "priority": 1}}
POST   job-templates/{template}/rollback/    templates.manage  {"number": 1, "reason": "too slow"}
POST   job-templates/{template}/withdraw/    templates.manage  {"number": 1, "reason": "not yet"}  409
POST   job-templates/{template}/run/         templates.run     {}
GET    workflows/                            workflows.view
POST   workflows/                            workflows.manage  {"name": "new", "definition": {"nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}], "edges": [{"from": "start", "to": "end"}]}}
GET    workflows/schema/                     workflows.view
POST   workflows/check/                      workflows.view    {"definition": {"nodes": []}}
GET    workflows/{workflow}/                 workflows.view
PATCH  workflows/{workflow}/                 workflows.manage  {"description": "x"}
DELETE workflows/{workflow}/                 workflows.manage
GET    workflows/{workflow}/versions/        workflows.view
POST   workflows/{workflow}/versions/        workflows.manage  {"definition": {"nodes": [{"id": "start", "type": "start"}, {"id": "end", "type": "end"}], "edges": [{"from": "start", "to": "end"}]}}
GET    workflows/{workflow}/versions/1/      workflows.view
POST   workflows/{workflow}/rollback/        workflows.manage  {"number": 1, "reason": "too slow"}
POST   workflows/{workflow}/withdraw/        workflows.manage  {"number": 1, "reason": "not yet"}  409
POST   workflows/{workflow}/preview/         workflows.view    {"definition": {"nodes": []}}
POST   workflows/{workflow}/runs/            jobs.submit       {"inputs": {}}
GET    approvals/                            workflows.view
GET    approvals/{approval}/                 workflows.view
POST   approvals/{approval}/decide/          workflows.approve {"decision": "approved"}
GET    workflow-runs/                        jobs.view
POST   workflow-runs/records/                jobs.submit       {"run": {"id": "0199d0a4-7c1e-7aaa-8000-0123456789ab", "workflow": {"id": "0199d0a4-7c1e-7aaa-8000-0123456789ac", "version": 1}, "version": 1, "state": "running"}}
GET    workflow-runs/{workflow_run}/         jobs.view
POST   workflow-runs/{workflow_run}/replay/  jobs.submit       {"node": "start"}
GET    workflow-runs/{workflow_run}/nodes/   jobs.view
GET    workflow-runs/{workflow_run}/nodes/{node_run}/ jobs.view
GET    pipelines/                            pipelines.view
POST   pipelines/                            pipelines.manage  {"name": "new", "definition": {"nodes": [{"id": "datasource", "type": "datasource"}, {"id": "extract", "type": "extract"}, {"id": "clean", "type": "clean"}, {"id": "split", "type": "split"}, {"id": "embed", "type": "embed"}, {"id": "load", "type": "load", "config": {"dataset": "handbook"}}], "edges": [{"from": "datasource", "to": "extract"}, {"from": "extract", "to": "clean"}, {"from": "clean", "to": "split"}, {"from": "split", "to": "embed"}, {"from": "embed", "to": "load"}]}}
GET    pipelines/definition-schema/          pipelines.view
GET    pipelines/{pipeline}/                 pipelines.view
PATCH  pipelines/{pipeline}/                 pipelines.manage  {"description": "x"}
DELETE pipelines/{pipeline}/                 pipelines.manage                          409
POST   pipelines/{pipeline}/runs/            pipelines.manage  {"priority": true}
GET    pipelines/{pipeline}/versions/        pipelines.view
POST   pipelines/{pipeline}/versions/        pipelines.manage  {"definition": {"nodes": [{"id": "datasource", "type": "datasource"}, {"id": "extract", "type": "extract"}, {"id": "clean", "type": "clean"}, {"id": "split", "type": "split"}, {"id": "embed", "type": "embed"}, {"id": "load", "type": "load", "config": {"dataset": "handbook"}}], "edges": [{"from": "datasource", "to": "extract"}, {"from": "extract", "to": "clean"}, {"from": "clean", "to": "split"}, {"from": "split", "to": "embed"}, {"from": "embed", "to": "load"}]}}
GET    pipelines/{pipeline}/versions/1/      pipelines.view
GET    pipeline-runs/                        pipelines.view
GET    pipeline-runs/{pipeline_run}/         pipelines.view
GET    pipeline-runs/{pipeline_run}/entities/ pipelines.view
GET    entities/{entity}/                    pipelines.view
POST   entities/{entity}/retry/              pipelines.manage  {"reason": "x"}         409
"""

# Changes over all tenants that platform staff with the right may make without naming a tenant; lines as those of API. A
# body matches jobs of several tenants, so that the number is required.
OVER_ALL_TENANTS = """
POST   access-reviews/                       members.manage    {}                     201
POST   access-reviews/{access_review}/decide/ members.manage   {"decision": "keep", "lines": ["0199d0a4-7c1e-7aaa-8000-0123456789ab"]}
POST   access-reviews/{access_review}/refresh/ members.manage  {}
POST   access-reviews/{access_review}/close/ members.manage    {} 409
POST   approval-requests/{approval_request}/approve/ approvals.decide {}
POST   approval-requests/{approval_request}/reject/ approvals.decide {"reason": "no"}
POST   bulk-operations/                      jobs.bulk         {"filter": "kind:noop", "operation": "cancel", "reason": "x"} 409
POST   bulk-operations/{bulk}/abort/         jobs.bulk         {"reason": "x"}
POST   bulk-operations/{bulk}/undo/          jobs.bulk         {"reason": "x"}         409
POST   alerts/{alert}/acknowledge/           alerts.respond    {}
POST   alerts/{alert}/resolve/               alerts.respond    {"outcome": "helped"}
POST   alerts/{alert}/silence/               alerts.respond    {"reason": "x"}
POST   investigations/                       audit.view        {"kind": "noop", "began_at": "2026-01-01T00:00:00Z"}
POST   investigations/{investigation}/outcome/ alerts.respond  {"cause": null, "has_helped": true}
POST   alert-rules/                          alerts.manage     {"name": "new", "measure": "oldest_wait", "per": "tenant", "threshold": 60, "confirm": true}
POST   alert-rules/preview/                  jobs.view         {"measure": "oldest_wait", "per": "tenant", "threshold": 60}
PATCH  alert-rules/{alert_rule}/             alerts.manage     {"severity": "info"}
DELETE alert-rules/{alert_rule}/             alerts.manage
POST   contact-groups/                       alerts.manage     {"name": "new"}
PATCH  contact-groups/{group}/               alerts.manage     {"description": "x"}
POST   contacts/                             alerts.manage     {"group": "Platform admins", "channel": "role", "roles": ["operator"]}
PATCH  contacts/{contact}/                   alerts.manage     {"per_hour": 5}
POST   contacts/{contact}/test/              alerts.respond    {}
POST   contacts/{contact}/enable/            alerts.manage     {}
DELETE contacts/{contact}/                   alerts.manage
POST   alert-routes/                         alerts.manage     {"position": 7, "group": "Platform admins"}
PATCH  alert-routes/{route}/                 alerts.manage     {"position": 8}
DELETE alert-routes/{route}/                 alerts.manage
POST   alert-owners/                         alerts.manage     {"target": "kind", "name": "noop", "group": "Platform admins"}
PATCH  alert-owners/{alert_owner}/           alerts.manage     {"name": "sleep"}
DELETE alert-owners/{alert_owner}/           alerts.manage
POST   alert-silences/                       alerts.respond    {"only_kind": "noop", "reason": "x"}
PATCH  alert-silences/{silence}/             alerts.respond    {"reason": "y"}
POST   alert-silences/{silence}/end/         alerts.respond    {}
DELETE alert-silences/{silence}/             alerts.respond
DELETE contact-groups/{group}/               alerts.manage
POST   controls/                             controls.manage   {"name": "new", "checkpoint": "submission", "rule": "required_tags", "parameters": {"tags": ["x"]}, "may_hold_all": true}
PATCH  controls/{control}/                   controls.manage   {"name": "changed"}
DELETE controls/{control}/                   controls.manage
POST   controls/{control}/preview/           jobs.view         {}
POST   objectives/                           alerts.manage     {"name": "new", "kind": "noop"}
PATCH  objectives/{objective}/               alerts.manage     {"target_share": 0.9}
DELETE objectives/{objective}/               alerts.manage
POST   evidence-packs/                       audit.export      {"template": "gdpr", "since": "2019-01-01T00:00:00Z", "until": "2019-02-01T00:00:00Z", "is_empty_allowed": true}
GET    evidence-packs/{evidence_pack}/download/ audit.export    409
PATCH  evidence-packs/{evidence_pack}/       audit.export      {"since": "2019-01-01T00:00:00Z", "until": "2019-02-01T00:00:00Z", "is_empty_allowed": true}
DELETE evidence-packs/{evidence_pack}/       audit.export
POST   evidence-schedules/                   audit.export      {"name": "new", "template": "soc2", "group": "Platform admins", "is_empty_allowed": true}
PATCH  evidence-schedules/{evidence_schedule}/ audit.export    {"is_enabled": false}
DELETE evidence-schedules/{evidence_schedule}/ audit.export
POST   outbox-routes/                        webhooks.manage   {"name": "new", "topic": "order.*", "adapter": "webhook", "target": "ops"} 422
PATCH  outbox-routes/{outbox_route}/         webhooks.manage   {"is_enabled": false}
DELETE outbox-routes/{outbox_route}/         webhooks.manage
POST   outbox/{outbox_message}/retry/        jobs.retry        {"reason": "it is back"}
POST   event-triggers/                       schedules.manage  {"name": "new", "topic": "order.paid", "kind": "noop"} 422
PATCH  event-triggers/{event_trigger}/       schedules.manage  {"is_enabled": false}
DELETE event-triggers/{event_trigger}/       schedules.manage
POST   compensations/{compensation}/retry/   jobs.retry        {}
POST   compensations/{compensation}/settle/  jobs.retry        {"reason": "refunded by hand"}
"""

# Pages of models under /admin/: rights to view, add and change (`-`: no role), then the actions on one row. No role may
# delete a row or see Django's own history of it.
PAGES = """
auth.user                          people.view     people.manage    people.manage    deactivate:people.manage activate:people.manage unlock:people.manage
django_celery_beat.clockedschedule  platform.view  upkeep.run       upkeep.run
django_celery_beat.crontabschedule  platform.view  upkeep.run       upkeep.run
django_celery_beat.intervalschedule platform.view  upkeep.run       upkeep.run
django_celery_beat.periodictask    platform.view   upkeep.run       upkeep.run
django_celery_beat.solarschedule   platform.view   upkeep.run       upkeep.run
document_evaluation.evaluation     datasets.view   -                -                delete:datasets.manage
document_sources.contentsource     datasets.view   datasets.manage  datasets.manage  sync:datasets.manage delete:datasets.manage
document_sources.sourceitem        datasets.view   -                -
files.artifact                     files.view      -                -                download:files.download
files.uploadedfile                 files.view      -                -                download:files.download delete:files.manage
rag_pipeline.pipeline              pipelines.view  pipelines.manage pipelines.manage run:pipelines.manage run_first:pipelines.manage delete:pipelines.manage
rag_pipeline.pipelineentity        pipelines.view  -                -                retry:pipelines.manage
rag_pipeline.pipelinerun           pipelines.view  -                -
rag_pipeline.pipelineversion       pipelines.view  -                -
retrieval.chunk                    datasets.view   -                datasets.manage  embed:datasets.manage merge:datasets.manage
retrieval.dataset                  datasets.view   datasets.manage  datasets.manage  archive:datasets.manage unarchive:datasets.manage disable_documents:datasets.manage enable_documents:datasets.manage delete:datasets.manage
retrieval.document                 datasets.view   -                -                retry:datasets.manage pause:datasets.manage resume:datasets.manage reindex:datasets.manage reindex_discarding:datasets.manage refetch:datasets.manage disable:datasets.manage enable:datasets.manage delete:datasets.manage
scheduling.alert                   jobs.view       -                -                investigate:audit.view acknowledge:alerts.respond silence:alerts.respond helped:alerts.respond false_alarm:alerts.respond
scheduling.alertmessage            jobs.view       -                -
scheduling.alertowner              jobs.view       alerts.manage    alerts.manage    delete:alerts.manage
scheduling.alertroute              jobs.view       alerts.manage    alerts.manage    delete:alerts.manage
scheduling.alertrule               jobs.view       alerts.manage    alerts.manage    delete:alerts.manage
scheduling.alertsilence            jobs.view       alerts.respond   alerts.respond   end:alerts.respond
scheduling.archiveobject           jobs.view       -                -
scheduling.compensation            jobs.view       -                -                retry:jobs.retry settle:jobs.retry
scheduling.eventtrigger            jobs.view       schedules.manage schedules.manage delete:schedules.manage
scheduling.inboxevent              jobs.view       -                -
scheduling.outboxmessage           jobs.view       -                -                retry:jobs.retry
scheduling.outboxroute             jobs.view       webhooks.manage  webhooks.manage  delete:webhooks.manage
scheduling.contact                 jobs.view       alerts.manage    alerts.manage    try_it:alerts.respond enable:alerts.manage delete:alerts.manage
scheduling.contactgroup            jobs.view       alerts.manage    alerts.manage    delete:alerts.manage
scheduling.batch                   jobs.view       -                -                close:jobs.submit cancel:jobs.cancel
scheduling.bulkoperation           jobs.view       -                -                abort:jobs.bulk undo:jobs.bulk
scheduling.cfsplan                 platform.view   fairness.manage  fairness.manage  activate:fairness.manage rollback:fairness.manage withdraw:fairness.manage
scheduling.charge                  tenant.view     -                -
scheduling.circuit                 jobs.view       tenant.pause     -                reset:jobs.retry force_open:tenant.pause force_closed:tenant.pause
scheduling.deadletter              jobs.view       -                -                requeue:jobs.retry edit:jobs.reveal
scheduling.execution               logs.view       -                -
scheduling.investigation           audit.view      audit.view       alerts.respond
scheduling.job                     jobs.view       -                -                retry:jobs.retry edit:jobs.reveal cancel:jobs.cancel suspend:jobs.cancel resume:jobs.cancel override_controls:controls.override reveal:jobs.reveal save_as_template:templates.manage
scheduling.jobevent                jobs.view       -                -
scheduling.kindcost                platform.view   -                -
scheduling.kindpause               platform.view   queues.operate   -                resume:queues.operate
scheduling.liveexecution           jobs.view       -                -
scheduling.loadstate               platform.view   -                -                force_normal:queues.operate force_busy:queues.operate force_overloaded:queues.operate force_brown_out:queues.operate release:queues.operate
scheduling.sheddingrule            platform.view   fairness.manage  fairness.manage  delete:fairness.manage
scheduling.priorityrule            platform.view   fairness.manage  fairness.manage  delete:fairness.manage
scheduling.controlrule             jobs.view       controls.manage  controls.manage  delete:controls.manage
scheduling.backupplan              platform.view   backups.manage   backups.manage   delete:backups.manage
scheduling.backup                  platform.view   -                -
scheduling.objective               jobs.view       alerts.manage    alerts.manage    delete:alerts.manage
scheduling.evidencepack            audit.view      audit.export     audit.export             download:audit.export delete:audit.export
scheduling.evidenceschedule        audit.view      audit.export     audit.export     delete:audit.export
scheduling.queue                   platform.view   fairness.manage  fairness.manage  pause:queues.operate drain:queues.operate resume:queues.operate
scheduling.routingrule             platform.view   fairness.manage  fairness.manage
scheduling.schedule                schedules.view  schedules.manage schedules.manage run_now:schedules.manage pause:schedules.manage resume:schedules.manage delete:schedules.manage
scheduling.schedulefire            schedules.view  -                -
scheduling.fairsharenode           tenant.view     -                -
scheduling.tenantcapacity          tenant.view     -                -
scheduling.tenantupkeeprun         audit.view      -                -
scheduling.upkeeprun               platform.view   -                -
scheduling.worker                  platform.view   -                -                drain:queues.operate resume:queues.operate
scheduling.workerpool              platform.view   fairness.manage  fairness.manage  pause:queues.operate drain:queues.operate resume:queues.operate
tenants.accessreview               audit.view      members.manage   -                refresh:members.manage close:members.manage
tenants.accessreviewline           audit.view      -                -                keep:members.manage revoke:members.manage
tenants.apikey                     api_keys.view   api_keys.manage  -                rotate:api_keys.manage revoke:api_keys.manage
tenants.approvalrequest            audit.view      -                -                approve:approvals.decide reject:approvals.decide
tenants.approvalrule               people.view     people.manage    people.manage    delete:people.manage
tenants.auditlogentry              audit.view      -                -
tenants.invitation                 members.view    members.manage   -                revoke:members.manage
tenants.legalhold                  platform.view   -                -                release:tenants.manage
tenants.membership                 members.view    -                members.manage   remove:members.manage
tenants.platformkey                people.view     people.manage    -                rotate:people.manage revoke:people.manage
tenants.platformmembership         people.view     people.manage    people.manage    revoke:people.manage
tenants.tenantrole                 members.view    members.manage   members.manage   delete:members.manage
tenants.claimrule                  people.view     people.manage    people.manage    delete:people.manage
tenants.plan                       platform.view   plans.manage     plans.manage     rollback:plans.manage withdraw:plans.manage
tenants.tenant                     tenant.view     tenants.manage   tenants.manage   pause:tenant.pause drain:tenant.pause resume:tenant.pause suspend:tenants.operate reinstate:tenants.operate hold:tenants.manage erase:tenants.erase view_as:platform.view
tenants.tenanterasure              tenants.erase   -                -                cancel:tenants.erase verify:tenants.erase
tenants.tenantlimit                tenant.view     tenants.manage   tenants.manage   clear:tenants.manage
tenants.tenantsecret               secrets.use     secrets.manage   secrets.manage   delete:secrets.manage
tenants.tenantsettings             tenant.view     -                -
tenants.tier                       platform.view   plans.manage     plans.manage
workflow_execution.approval        workflows.view  -                -                approve:workflows.approve reject:workflows.approve
scheduling.jobtemplate             jobs.view       templates.manage templates.manage delete:templates.manage rollback:templates.manage withdraw:templates.manage
workflow_execution.workflow        workflows.view  workflows.manage workflows.manage delete:workflows.manage rollback:workflows.manage withdraw:workflows.manage
workflow_storage.workflowrun       jobs.view       -                -                reveal:jobs.reveal
triggers.triggerdelivery           jobs.view       -                -
triggers.webhooktrigger            jobs.view       webhooks.manage  webhooks.manage  rotate:webhooks.manage delete:webhooks.manage
model_endpoints.modelendpoint      tenant.view     tenant.manage    tenant.manage    try_it:jobs.submit delete:tenant.manage
model_endpoints.usageday           tenant.view     -                -
webhooks.delivery                  jobs.view       -                -
webhooks.webhook                   tenant.view     webhooks.manage  webhooks.manage  try_it:jobs.submit rotate:webhooks.manage delete:webhooks.manage
"""

# Rights to export the list of a page, where they are not those to view it.
EXPORTS = {"tenants.auditlogentry": "audit.export"}

# Actions on selected rows of a list: without the right, one is not offered, and has no effect if sent.
ACTIONS = """
tenants.accessreviewline           keep_selected      members.manage
scheduling.deadletter              requeue_selected   jobs.retry
scheduling.job                     retry_selected     jobs.retry
scheduling.job                     cancel_selected    jobs.cancel
"""

# The console's other routes: method, path under /admin/, right, form, status. `ANY` responds to any method like GET;
# other methods are refused. In a form, `@name` is a file.
CONSOLE = """
GET    login/                                anyone
POST   login/                                anyone            {"username": "unknown", "password": "wrong"}
POST   logout/                               anyone
ANY    .                                     console
ANY    scheduling/                           jobs.view
GET    overview/                             jobs.view
GET    overview/shares/                      jobs.view
GET    heat-map/                             jobs.view
GET    heat-map/part/                        jobs.view
GET    wait/                                 jobs.view                                                                 302
GET    correlation/                          jobs.view
GET    logs/                                 logs.view
GET    logs/lines/                           logs.view
GET    logs/summary/                         logs.view
GET    diagnosis/                            platform.view
GET    fairness/                             jobs.view
GET    fairness/part/                        jobs.view
GET    failures/                             jobs.view
GET    failures/{error}/                     jobs.view
POST   export/errors/                        jobs.view         {"format": "csv"}
GET    job-kinds/                            jobs.view
GET    invitation/                           anyone                                    400
POST   invitation/                           anyone            {}                      400
GET    roles/                                members.view
ANY    search/                               console
GET    jsi18n/                               console
GET    sign-in/                              anyone
POST   sign-in/                              anyone            {"username": "unknown", "password": "wrong"}
POST   sign-in/cancel/                       anyone                                    302
GET    sign-in/password/                     console
POST   sign-in/password/                     console           {"password": "wrong"}
GET    sign-in/second-factor/                console
GET    sign-in/second-factor/authenticate/   anyone                                    302
POST   sign-in/second-factor/authenticate/   anyone            {"code": "0"}           302
GET    sign-in/second-factor/reauthenticate/ console
POST   sign-in/second-factor/reauthenticate/ console           {"code": "0"}
GET    sign-in/second-factor/activate/       console
POST   sign-in/second-factor/activate/       console           {"code": "0"}
GET    sign-in/second-factor/deactivate/     console                                   404
POST   sign-in/second-factor/deactivate/     console                                   404
GET    sign-in/second-factor/recovery-codes/ console                                   404
GET    sign-in/second-factor/recovery-codes/generate/ console
POST   sign-in/second-factor/recovery-codes/generate/ console
GET    sign-in/second-factor/recovery-codes/download/ console                          404
GET    sign-in/second-factor/keys/           console
GET    sign-in/second-factor/keys/add/       console
POST   sign-in/second-factor/keys/add/       console           {"credential": "0"}
GET    sign-in/second-factor/keys/0/remove/  console
POST   sign-in/second-factor/keys/0/remove/  console
GET    sign-in/second-factor/keys/reauthenticate/ console
POST   sign-in/second-factor/keys/reauthenticate/ console      {"credential": "0"}
GET    sign-in/oidc/                         anyone                                    404
GET    sign-in/oidc/callback/                anyone                                    404
GET    password_change/                      console
POST   password_change/                      console           {"old_password": "the password of the cast", "new_password1": "another one of theirs", "new_password2": "another one of theirs"} 302
GET    password_change/done/                 console
GET    autocomplete/                         console                                   403
GET    r/{n}/{n}/                            console                                   404
GET    scheduling/job/{job}/body/            jobs.view                                 286
GET    scheduling/bulkoperation/start/       jobs.bulk
POST   scheduling/bulkoperation/start/       jobs.bulk         {"run": "1", "filter": "tenant:acme kind:noop", "operation": "cancel", "reason": "x"} 302
GET    scheduling/bulkoperation/{bulk}/part/ jobs.view
GET    scheduling/job/facets/                jobs.view
GET    scheduling/job/news/                  jobs.view
POST   scheduling/job/views/                 jobs.submit       {"name": "mine", "q": "state:discarded"}   302
POST   scheduling/job/views/{view}/rename/   jobs.submit       {"name": "theirs"}                         302
POST   scheduling/job/views/{view}/forget/   jobs.submit                                                  302
POST   scheduling/job/{job}/replay/          jobs.reveal       {"payload": " {{}}"}         302
POST   scheduling/job/payload/               jobs.view                                                    400
GET    scheduling/job/submit/                jobs.submit
POST   scheduling/job/submit/                jobs.submit       {"tenant": "{tenant}", "kind": "noop", "payload": " {{}}"} 302
POST   scheduling/job/submit/preview/        jobs.submit       {"tenant": "{tenant}", "kind": "noop", "payload": " {{}}"}
POST   scheduling/job/{job}/notes/           jobs.submit       {"text": "seen"}                          302
GET    scheduling/queue/rows/                platform.view
GET    scheduling/queue/{queue}/now/         platform.view
GET    scheduling/worker/rows/               platform.view
GET    scheduling/worker/{worker}/now/       platform.view                             404
POST   scheduling/deadletter/{letter}/requeue-edited/ jobs.reveal {"payload": " {{}}"}         302
POST   scheduling/cfsplan/{cfs_plan}/what-if/ platform.view
POST   tenants/plan/{plan}/what-if/          platform.view
POST   scheduling/schedule/payload/          schedules.manage {}
GET    scheduling/alert/open/               jobs.view
POST   scheduling/alertrule/preview/         jobs.view         {"name": "x"}
POST   scheduling/schedule/preview/          schedules.view    {"cron": "0 3 * * *", "timezone": "UTC"}
GET    scheduling/schedule/{schedule}/backfill/ schedules.manage
POST   scheduling/schedule/{schedule}/backfill/ schedules.manage {"since_0": "2026-01-01", "since_1": "00:00", "until_0": "2026-01-02", "until_1": "00:00", "run": "1"} 302
GET    scheduling/job/{job}/log/             logs.view
GET    scheduling/job/{job}/log/download/    logs.view
GET    files/uploadedfile/upload/            files.manage
POST   files/uploadedfile/upload/            files.manage      {"tenant": "{tenant}", "files": "@b.txt"} 302
GET    rag_pipeline/pipelinerun/{pipeline_run}/part/ pipelines.view
GET    retrieval/dataset/{dataset}/search/   datasets.view
GET    retrieval/dataset/{dataset}/reembed/  datasets.manage
POST   retrieval/dataset/{dataset}/reembed/  datasets.manage   {"model": "use-multilingual-3"}
GET    workflow_storage/workflowrun/{workflow_run}/body/ jobs.view
GET    retrieval/chunk/of/{document}/text/    datasets.view
GET    retrieval/chunk/{chunk}/add-after/     datasets.manage                      404
POST   retrieval/chunk/{chunk}/add-after/     datasets.manage                      404
GET    retrieval/chunk/{chunk}/split/         datasets.manage                      404
POST   retrieval/chunk/{chunk}/split/         datasets.manage                      404
GET    retrieval/chunk/{chunk}/restore/       datasets.manage                      404
POST   retrieval/chunk/{chunk}/restore/       datasets.manage                      404
GET    retrieval/document/preview/{dataset}/ datasets.manage
POST   retrieval/document/preview/{dataset}/ datasets.manage   {"text": "x"}
GET    retrieval/document/{document}/metadata/ datasets.manage
POST   retrieval/document/{document}/metadata/ datasets.manage {"metadata": "{{\\"year\\": 2027}}"}  302
GET    retrieval/document/reindex/           datasets.manage
POST   retrieval/document/reindex/           datasets.manage   {"dataset": "{dataset}"} 302
GET    document_evaluation/evaluation/start/ datasets.manage
POST   document_evaluation/evaluation/start/ datasets.manage   {"dataset": "{dataset}", "file": "@b.txt"}
GET    document_evaluation/evaluation/{evaluation}/comparison/ datasets.view 404
GET    retrieval/document/upload/            datasets.manage
POST   retrieval/document/upload/            datasets.manage   {"dataset": "{dataset}", "files": "@b.txt"} 302
GET    workflow_execution/approval/pending/  workflows.view
GET    workflow_execution/workflow/{workflow}/run/ jobs.submit
POST   workflow_execution/workflow/{workflow}/run/ jobs.submit {"inputs": ""}            302
GET    workflow_execution/workflow/replay/{workflow_run}/ jobs.submit
POST   workflow_execution/workflow/replay/{workflow_run}/ jobs.submit {"node": "start"} 302
GET    scheduling/jobtemplate/{template}/run/ templates.run
POST   scheduling/jobtemplate/{template}/run/ templates.run     {}
POST   scheduling/jobtemplate/{template}/parameters/ templates.run {}
POST   scheduling/jobtemplate/content/            templates.manage {}
GET    workflow_execution/workflow/{workflow}/versions/1/ workflows.view
POST   scheduling/upkeeprun/run/partitions/  upkeep.run                                302
POST   scheduling/tenantupkeeprun/verify/    audit.view                                302
GET    scheduling/tenantupkeeprun/{upkeep_run}/now/ audit.view
POST   tenants/tenant/choose/                tenant.view       {"tenant": "acme"}      302
POST   tenants/tenant/leave/                 tenant.view       {}                      302
GET    tenants/tenant/{tenant}/now/          tenant.view
GET    tenants/tenantsettings/of/{tenant}/   tenant.view
POST   tenants/tenantsettings/of/{tenant}/   tenant.manage     {"version": "0"}        422
GET    auth/user/{user}/password/            people.manage
POST   auth/user/{user}/password/            people.manage     {"password1": "another one of theirs", "password2": "another one of theirs", "usable_password": "true"} 302
"""

# Routes outside the API and the console: method, path, right, status. `token`: requests with the token of the metrics,
# which no role has.
PLAIN = """
GET    /                                     anyone                                    302
GET    /language/                            anyone                                    302
GET    /health/live                          anyone
GET    /health/ready                         anyone
GET    /metrics                              token                                     401
GET    /files/download                       anyone                                    404
GET    /api/nothing/                         anyone                                    404
POST   /api/nothing/                         anyone                                    404
"""
