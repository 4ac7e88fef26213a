"""Audit entries of every action, written by hand and compared with the server's entries.

A new route, page, action or command is one line: its address as in `tests/access/table.py` (with its body and status),
then the action and the type of the target; an action of many transactions has an entry before the first and one after
the last, `first+last`. `tests/integration/tenants/audit/test_coverage.py` runs each action in a world of its own and
names missing lines. Preconditions and form values are under the same address in
`tests/integration/tenants/audit/audited_actions.py`.
"""

from __future__ import annotations

# POST, PUT, PATCH and DELETE under /api/v1/.
API = """
POST   tenants/me/pause/                 tenant.paused           tenants.tenant
POST   tenants/me/resume/                tenant.resumed          tenants.tenant
PATCH  tenants/me/settings/              settings.changed        tenants.tenant
POST   usage/submit_burst/override/      tenant.limit_set        tenants.tenant
POST   usage/submit_burst/clear/         tenant.limit_cleared    tenants.tenant
POST   tenants/me/drain/                 tenant.draining         tenants.tenant
POST   tenants/                          tenant.created          tenants.tenant
PATCH  tenants/globex/                   tenant.updated          tenants.tenant
POST   tenants/globex/suspend/           tenant.suspended        tenants.tenant
POST   tenants/globex/reinstate/         tenant.reinstated       tenants.tenant
POST   tenants/globex/pause/             tenant.paused           tenants.tenant
POST   tenants/globex/drain/             tenant.draining         tenants.tenant
POST   tenants/globex/resume/            tenant.resumed          tenants.tenant
POST   members/                          invitation.created      tenants.invitation
POST   invitations/{invitation}/revoke/  invitation.revoked      tenants.invitation
PATCH  members/{member}/                 membership.role_changed tenants.membership
DELETE members/{member}/                 membership.removed      tenants.membership
POST   api-keys/                         api_key.issued          tenants.apikey
POST   api-keys/{key}/rotate/            api_key.rotated         tenants.apikey
POST   api-keys/{key}/revoke/            api_key.revoked         tenants.apikey
POST   platform-keys/                    api_key.issued          tenants.apikey
POST   platform-keys/{platform_key}/rotate/ api_key.rotated      tenants.apikey
POST   platform-keys/{platform_key}/revoke/ api_key.revoked      tenants.apikey
POST   upkeep-runs/                      upkeep.requested        scheduling.tenantupkeeprun
POST   jobs/                             job.submitted           scheduling.job
POST   jobs/bulk/                        job.submitted           scheduling.job
POST   jobs/{waiting}/cancel/            job.cancelled           scheduling.job
POST   batches/                          batch.created           scheduling.batch
POST   batches/{batch}/jobs/             job.submitted           scheduling.job
POST   batches/{batch}/close/            batch.closed            scheduling.batch
POST   batches/{batch}/cancel/           batch.cancelled         scheduling.batch
POST   bulk-operations/                  bulk_operation.started  scheduling.bulkoperation
POST   bulk-operations/{bulk}/abort/     bulk_operation.aborted  scheduling.bulkoperation
POST   bulk-operations/{bulk}/undo/      bulk_operation.undone   scheduling.bulkoperation
POST   jobs/{waiting}/suspend/           job.suspended           scheduling.job
POST   jobs/{waiting}/resume/            job.resumed             scheduling.job
POST   jobs/{waiting}/override-controls/ control.overridden      scheduling.job
POST   controls/                         control_rule.created    scheduling.controlrule
PATCH  controls/{control}/               control_rule.changed    scheduling.controlrule
DELETE controls/{control}/               control_rule.deleted    scheduling.controlrule
POST   jobs/{job}/retry/                 job.retried             scheduling.job
POST   jobs/{job}/notes/                 job.noted               scheduling.job
POST   dead-letters/{letter}/requeue/    job.retried             scheduling.job
POST   circuits/noop/reset/              circuit.reset           scheduling.circuit
POST   circuits/noop/force/              circuit.forced_open     scheduling.circuit
POST   shared-circuits/noop/force/       circuit.forced_closed   scheduling.sharedcircuit
POST   shedding-rules/                   shedding_rule.created   scheduling.sheddingrule
PATCH  shedding-rules/{shedding_rule}/   shedding_rule.changed   scheduling.sheddingrule
DELETE shedding-rules/{shedding_rule}/   shedding_rule.deleted   scheduling.sheddingrule
POST   roles/                            role.created            tenants.tenantrole
PATCH  roles/{role}/                     role.changed            tenants.tenantrole
DELETE roles/{role}/                     role.deleted            tenants.tenantrole
POST   claim-rules/                      claim_rule.created      tenants.claimrule
PATCH  claim-rules/{claim_rule}/         claim_rule.changed      tenants.claimrule
DELETE claim-rules/{claim_rule}/         claim_rule.deleted      tenants.claimrule
POST   priority-rules/                   priority_rule.created   scheduling.priorityrule
PATCH  priority-rules/{priority_rule}/   priority_rule.changed   scheduling.priorityrule
DELETE priority-rules/{priority_rule}/   priority_rule.deleted   scheduling.priorityrule
POST   backup-plans/                     backup_plan.created     scheduling.backupplan
PATCH  backup-plans/{backup_plan}/       backup_plan.changed     scheduling.backupplan
DELETE backup-plans/{backup_plan}/       backup_plan.deleted     scheduling.backupplan
POST   load/platform/force/             load.forced             scheduling.loadstate
POST   load/platform/release/           load.released           scheduling.loadstate
POST   shared-circuits/noop/reset/       circuit.reset           scheduling.sharedcircuit
POST   queues/                           queue.created           scheduling.queue
PATCH  queues/dataset/                   queue.changed           scheduling.queue
PATCH  pools/default/                    worker_pool.changed     scheduling.workerpool
POST   plans/                            plan.created            tenants.plan
POST   cfs-plans/                        cfs_plan.created        scheduling.cfsplan
POST   tiers/                            tier.created            tenants.tier
PATCH  tiers/team/                       tier.updated            tenants.tier
POST   alerts/{alert}/acknowledge/      alert.acknowledged      scheduling.alert
POST   alerts/{alert}/resolve/          alert.resolved          scheduling.alert
POST   alerts/{alert}/silence/          alert_silence.created   scheduling.alertsilence
POST   alert-rules/                     alert_rule.created      scheduling.alertrule
PATCH  alert-rules/{alert_rule}/        alert_rule.changed      scheduling.alertrule
DELETE alert-rules/{alert_rule}/        alert_rule.deleted      scheduling.alertrule
POST   contact-groups/                  contact_group.created   scheduling.contactgroup
PATCH  contact-groups/{group}/          contact_group.changed   scheduling.contactgroup
DELETE contact-groups/{group}/          contact_group.deleted   scheduling.contactgroup
POST   contacts/                        contact.created         scheduling.contact
PATCH  contacts/{contact}/              contact.changed         scheduling.contact
DELETE contacts/{contact}/              contact.deleted         scheduling.contact
POST   alert-routes/                    alert_route.created     scheduling.alertroute
PATCH  alert-routes/{route}/            alert_route.changed     scheduling.alertroute
DELETE alert-routes/{route}/            alert_route.deleted     scheduling.alertroute
POST   alert-owners/                    alert_owner.created     scheduling.alertowner
PATCH  alert-owners/{alert_owner}/      alert_owner.changed     scheduling.alertowner
DELETE alert-owners/{alert_owner}/      alert_owner.deleted     scheduling.alertowner
POST   alert-silences/                  alert_silence.created   scheduling.alertsilence
PATCH  alert-silences/{silence}/        alert_silence.changed   scheduling.alertsilence
DELETE alert-silences/{silence}/        alert_silence.deleted   scheduling.alertsilence
POST   contacts/{contact}/test/         contact.tested          scheduling.contact
POST   contacts/{contact}/enable/       contact.changed         scheduling.contact
POST   alert-silences/{silence}/end/    alert_silence.changed   scheduling.alertsilence
POST   routing-rules/                    routing_rule.created    scheduling.routingrule
PATCH  routing-rules/10/                 routing_rule.changed    scheduling.routingrule
POST   queues/dataset/pause/             queue.paused            scheduling.queue
POST   queues/dataset/resume/            queue.resumed           scheduling.queue
POST   queues/dataset/drain/             queue.draining          scheduling.queue
POST   kinds/noop/pause/                 kind.paused             scheduling.kind
POST   kinds/noop/resume/                kind.resumed            scheduling.kind
POST   kinds/noop/drain/                 kind.draining           scheduling.kind
POST   pools/                            worker_pool.created     scheduling.workerpool
POST   pools/default/pause/              pool.paused             scheduling.workerpool
POST   pools/default/resume/             pool.resumed            scheduling.workerpool
POST   pools/default/drain/              pool.draining           scheduling.workerpool
POST   workers/00000000-0000-7000-8000-000000000000/drain/  worker.draining scheduling.worker
POST   workers/00000000-0000-7000-8000-000000000000/resume/ worker.resumed  scheduling.worker
POST   schedules/                        schedule.created        scheduling.schedule
PATCH  schedules/{schedule}/             schedule.updated        scheduling.schedule
DELETE schedules/{schedule}/             schedule.deleted        scheduling.schedule
POST   schedules/{schedule}/backfill/    schedule.backfilled     scheduling.schedule
POST   schedules/{schedule}/pause/       schedule.paused         scheduling.schedule
POST   schedules/{schedule}/resume/      schedule.resumed        scheduling.schedule
POST   schedules/{schedule}/run-now/     schedule.run            scheduling.schedule
POST   upkeep/partitions/run/            upkeep.requested        scheduling.upkeep
PATCH  plans/team/                       plan.updated            tenants.plan
POST   plans/team/rollback/              plan.rolled_back        tenants.plan
POST   plans/team/withdraw/              plan.version_withdrawn  tenants.plan
PATCH  cfs-plans/cloud/                  cfs_plan.changed        scheduling.cfsplan
POST   cfs-plans/community/activate/     cfs_plan.activated      scheduling.cfsplan
POST   cfs-plans/cloud/rollback/         cfs_plan.rolled_back    scheduling.cfsplan
POST   cfs-plans/cloud/withdraw/         cfs_plan.version_withdrawn scheduling.cfsplan
POST   datasets/                         dataset.created         retrieval.dataset
PATCH  datasets/{dataset}/               dataset.updated         retrieval.dataset
DELETE datasets/{dataset}/               dataset.deleted         retrieval.dataset
POST   datasets/{dataset}/documents/     documents.uploaded      retrieval.dataset
POST   datasets/{dataset}/evaluations/   evaluation.started      document_evaluation.evaluation
DELETE evaluations/{evaluation}/         evaluation.deleted      document_evaluation.evaluation
PATCH  documents/{document}/             document.metadata_changed retrieval.document
POST   document-sources/                 document_source.created document_sources.contentsource
PATCH  document-sources/{source}/        document_source.updated document_sources.contentsource
DELETE document-sources/{source}/        document_source.deleted document_sources.contentsource
POST   document-sources/{source}/sync/   document_source.sync_started document_sources.contentsource
DELETE documents/{document}/             document.deleted        retrieval.document
POST   documents/{document}/pause/       job.suspended           scheduling.job
POST   documents/{document}/resume/      job.resumed             scheduling.job
POST   documents/{document}/retry/       document.retried        retrieval.document
POST   documents/{document}/reindex/     document.reindexed      retrieval.document
POST   documents/{document}/replace/     document.replaced       retrieval.document
POST   datasets/{dataset}/documents/from-text/ documents.uploaded retrieval.dataset
POST   datasets/{dataset}/documents/from-url/ documents.uploaded retrieval.dataset
POST   datasets/{dataset}/reindex/       dataset.reindexed       retrieval.dataset
POST   datasets/{dataset}/reembed/       dataset.reembedded      retrieval.dataset
POST   datasets/{dataset}/disable-documents/ dataset.documents_disabled retrieval.dataset
POST   datasets/{dataset}/enable-documents/ dataset.documents_enabled retrieval.dataset
POST   datasets/{dataset}/archive/       dataset.archived        retrieval.dataset
POST   datasets/{dataset}/unarchive/     dataset.unarchived      retrieval.dataset
PATCH  chunks/{chunk}/                   chunk.updated           retrieval.chunk
POST   chunks/{chunk}/add-after/         chunk.added             retrieval.chunk
POST   chunks/{chunk}/split/             chunk.split             retrieval.chunk
POST   chunks/{chunk}/merge/             chunk.merged            retrieval.chunk
POST   chunks/{chunk}/embed/             chunk.embedding_requested retrieval.chunk
POST   chunks/{chunk}/restore/           chunk.restored          retrieval.chunk
POST   pipelines/                        pipeline.created        rag_pipeline.pipeline
PATCH  pipelines/{pipeline}/             pipeline.updated        rag_pipeline.pipeline
DELETE pipelines/{pipeline}/             pipeline.deleted        rag_pipeline.pipeline
POST   pipelines/{pipeline}/runs/        pipeline.run_started    rag_pipeline.pipeline
POST   pipelines/{pipeline}/versions/    pipeline.version_saved  rag_pipeline.pipeline
POST   entities/{entity}/retry/          pipeline_entity.retried rag_pipeline.pipelineentity
POST   files/                            files.uploaded          files.uploadedfile
DELETE files/{file}/                     file.deleted            files.uploadedfile
POST   files/{file}/link/                file.link_made          files.uploadedfile
POST   job-templates/                    job_template.created   scheduling.jobtemplate
PATCH  job-templates/{template}/         job_template.updated   scheduling.jobtemplate
DELETE job-templates/{template}/         job_template.deleted   scheduling.jobtemplate
POST   job-templates/{template}/versions/ job_template.changed  scheduling.jobtemplate
POST   job-templates/{template}/rollback/ job_template.rolled_back scheduling.jobtemplate
POST   job-templates/{template}/withdraw/ job_template.version_withdrawn scheduling.jobtemplate
POST   job-templates/{template}/run/     job.submitted          scheduling.job
POST   workflows/                        workflow.created        workflow_execution.workflow
PATCH  workflows/{workflow}/             workflow.updated        workflow_execution.workflow
DELETE workflows/{workflow}/             workflow.deleted        workflow_execution.workflow
POST   workflows/{workflow}/versions/    workflow.version_added  workflow_execution.workflow
POST   workflows/{workflow}/rollback/    workflow.rolled_back    workflow_execution.workflow
POST   workflows/{workflow}/withdraw/    workflow.version_withdrawn workflow_execution.workflow
POST   workflows/{workflow}/runs/        job.submitted           scheduling.job
POST   workflow-runs/records/            job.submitted           scheduling.job
POST   workflow-runs/{workflow_run}/replay/ workflow_run.replayed workflow_storage.workflowrun
POST   approvals/{approval}/decide/      approval.decided        workflow_execution.approval
POST   secrets/                          secret.created          tenants.tenantsecret
POST   secrets/{secret}/versions/        secret.rotated          tenants.tenantsecret
DELETE secrets/{secret}/                 secret.deleted          tenants.tenantsecret
POST   investigations/                   investigation.created  scheduling.investigation
POST   investigations/{investigation}/outcome/ investigation.answered scheduling.investigation
POST   objectives/                       objective.created       scheduling.objective
PATCH  objectives/{objective}/           objective.changed       scheduling.objective
DELETE objectives/{objective}/           objective.deleted       scheduling.objective
POST   evidence-packs/                   evidence_pack.created   scheduling.evidencepack
PATCH  evidence-packs/{evidence_pack}/   evidence_pack.changed   scheduling.evidencepack
DELETE evidence-packs/{evidence_pack}/   evidence_pack.deleted   scheduling.evidencepack
POST   evidence-schedules/               evidence_schedule.created scheduling.evidenceschedule
PATCH  evidence-schedules/{evidence_schedule}/ evidence_schedule.changed scheduling.evidenceschedule
DELETE evidence-schedules/{evidence_schedule}/ evidence_schedule.deleted scheduling.evidenceschedule
POST   approval-rules/                   approval_rule.created   tenants.approvalrule
PATCH  approval-rules/{approval_rule}/   approval_rule.changed   tenants.approvalrule
DELETE approval-rules/{approval_rule}/   approval_rule.deleted   tenants.approvalrule
POST   approval-requests/{approval_request}/approve/ approval_request.approved tenants.approvalrequest
POST   approval-requests/{approval_request}/reject/ approval_request.rejected tenants.approvalrequest
POST   access-reviews/                   access_review.opened    tenants.accessreview
POST   access-reviews/{access_review}/decide/ access_review.decided tenants.accessreview
POST   access-reviews/{access_review}/refresh/ access_review.refreshed tenants.accessreview
POST   access-reviews/{access_review}/close/ access_review.closed tenants.accessreview
POST   legal-holds/                      legal_hold.placed       tenants.legalhold
POST   legal-holds/{hold}/release/       legal_hold.released     tenants.legalhold
POST   compensations/{compensation}/retry/ compensation.retried scheduling.compensation
POST   compensations/{compensation}/settle/ compensation.settled scheduling.compensation
POST   outbox-routes/                    outbox_route.created    scheduling.outboxroute
PATCH  outbox-routes/{outbox_route}/     outbox_route.changed    scheduling.outboxroute
DELETE outbox-routes/{outbox_route}/     outbox_route.deleted    scheduling.outboxroute
POST   outbox/{outbox_message}/retry/    outbox_message.retried  scheduling.outboxmessage
POST   event-triggers/                   event_trigger.created   scheduling.eventtrigger
PATCH  event-triggers/{event_trigger}/   event_trigger.changed   scheduling.eventtrigger
DELETE event-triggers/{event_trigger}/   event_trigger.deleted   scheduling.eventtrigger
POST   events/                           event.received          scheduling.inboxevent
POST   webhook-triggers/                 webhook_trigger.created triggers.webhooktrigger
PATCH  webhook-triggers/{webhook_trigger}/ webhook_trigger.changed triggers.webhooktrigger
DELETE webhook-triggers/{webhook_trigger}/ webhook_trigger.deleted triggers.webhooktrigger
POST   webhook-triggers/{webhook_trigger}/rotate/ webhook_trigger.rotated triggers.webhooktrigger
POST   model-endpoints/                  model_endpoint.created  model_endpoints.modelendpoint
PATCH  model-endpoints/{model_endpoint}/ model_endpoint.changed  model_endpoints.modelendpoint
DELETE model-endpoints/{model_endpoint}/ model_endpoint.deleted  model_endpoints.modelendpoint
POST   model-endpoints/{model_endpoint}/test/ model_endpoint.tested model_endpoints.modelendpoint
POST   webhooks/                         webhook.created         webhooks.webhook
PATCH  webhooks/{webhook}/               webhook.changed         webhooks.webhook
DELETE webhooks/{webhook}/               webhook.deleted         webhooks.webhook
POST   webhooks/{webhook}/rotate/        webhook.rotated         webhooks.webhook
POST   webhooks/{webhook}/test/          job.submitted           scheduling.job
"""

# Pages of models under /admin/: adding, changing, and the actions on one row.
PAGES = """
auth.user                           add           user.created             auth.user
auth.user                           change        user.changed             auth.user
auth.user                           deactivate    user.deactivated         auth.user
auth.user                           activate      user.activated           auth.user
auth.user                           unlock        user.unlocked            auth.user
django_celery_beat.clockedschedule  add           clockedschedule.created  django_celery_beat.clockedschedule
django_celery_beat.clockedschedule  change        clockedschedule.changed  django_celery_beat.clockedschedule
django_celery_beat.crontabschedule  add           crontabschedule.created  django_celery_beat.crontabschedule
django_celery_beat.crontabschedule  change        crontabschedule.changed  django_celery_beat.crontabschedule
django_celery_beat.intervalschedule add           intervalschedule.created django_celery_beat.intervalschedule
django_celery_beat.intervalschedule change        intervalschedule.changed django_celery_beat.intervalschedule
django_celery_beat.periodictask     add           periodictask.created     django_celery_beat.periodictask
django_celery_beat.periodictask     change        periodictask.changed     django_celery_beat.periodictask
django_celery_beat.solarschedule    add           solarschedule.created    django_celery_beat.solarschedule
django_celery_beat.solarschedule    change        solarschedule.changed    django_celery_beat.solarschedule
files.artifact                      download      file.link_made           files.artifact
files.uploadedfile                  download      file.link_made           files.uploadedfile
files.uploadedfile                  delete        file.deleted             files.uploadedfile
rag_pipeline.pipeline               add           pipeline.created         rag_pipeline.pipeline
rag_pipeline.pipeline               change        pipeline.updated         rag_pipeline.pipeline
rag_pipeline.pipeline               run           pipeline.run_started     rag_pipeline.pipeline
rag_pipeline.pipeline               run_first     pipeline.run_started     rag_pipeline.pipeline
rag_pipeline.pipeline               delete        pipeline.deleted         rag_pipeline.pipeline
rag_pipeline.pipelineentity         retry         pipeline_entity.retried  rag_pipeline.pipelineentity
document_evaluation.evaluation      delete        evaluation.deleted       document_evaluation.evaluation
document_sources.contentsource      add           document_source.created  document_sources.contentsource
document_sources.contentsource      change        document_source.updated  document_sources.contentsource
document_sources.contentsource      sync          document_source.sync_started document_sources.contentsource
document_sources.contentsource      delete        document_source.deleted  document_sources.contentsource
retrieval.dataset                   add           dataset.created          retrieval.dataset
retrieval.dataset                   change        dataset.updated          retrieval.dataset
retrieval.dataset                   delete        dataset.deletion_started retrieval.dataset
retrieval.dataset                   archive       dataset.archived         retrieval.dataset
retrieval.dataset                   unarchive     dataset.unarchived       retrieval.dataset
retrieval.dataset                   disable_documents dataset.documents_disabled retrieval.dataset
retrieval.dataset                   enable_documents dataset.documents_enabled retrieval.dataset
retrieval.document                  disable       document.disabled        retrieval.document
retrieval.document                  enable        document.enabled         retrieval.document
retrieval.document                  retry         document.retried         retrieval.document
retrieval.document                  pause         job.suspended            scheduling.job
retrieval.document                  resume        job.resumed              scheduling.job
retrieval.document                  reindex       document.reindexed       retrieval.document
retrieval.chunk                     change        chunk.updated            retrieval.chunk
retrieval.chunk                     embed         chunk.embedding_requested retrieval.chunk
retrieval.chunk                     merge         chunk.merged             retrieval.chunk
retrieval.document                  reindex_discarding document.reindexed  retrieval.document
retrieval.document                  refetch       document.reindexed       retrieval.document
retrieval.document                  delete        document.deleted         retrieval.document
scheduling.alert                    acknowledge   alert.acknowledged       scheduling.alert
scheduling.alert                    silence       alert_silence.created    scheduling.alertsilence
scheduling.alert                    helped        alert.resolved           scheduling.alert
scheduling.alert                    false_alarm   alert.resolved           scheduling.alert
scheduling.alertrule                add           alert_rule.created       scheduling.alertrule
scheduling.alertrule                change        alert_rule.changed       scheduling.alertrule
scheduling.alertrule                delete        alert_rule.deleted       scheduling.alertrule
scheduling.contactgroup             add           contact_group.created    scheduling.contactgroup
scheduling.contactgroup             change        contact_group.changed    scheduling.contactgroup
scheduling.contactgroup             delete        contact_group.deleted    scheduling.contactgroup
scheduling.contact                  add           contact.created          scheduling.contact
scheduling.contact                  change        contact.changed          scheduling.contact
scheduling.contact                  delete        contact.deleted          scheduling.contact
scheduling.alertroute               add           alert_route.created      scheduling.alertroute
scheduling.alertroute               change        alert_route.changed      scheduling.alertroute
scheduling.alertroute               delete        alert_route.deleted      scheduling.alertroute
scheduling.alertowner               add           alert_owner.created      scheduling.alertowner
scheduling.alertowner               change        alert_owner.changed      scheduling.alertowner
scheduling.alertowner               delete        alert_owner.deleted      scheduling.alertowner
scheduling.alertsilence             add           alert_silence.created    scheduling.alertsilence
scheduling.alertsilence             change        alert_silence.changed    scheduling.alertsilence
scheduling.contact                  try_it        contact.tested           scheduling.contact
scheduling.contact                  enable        contact.changed          scheduling.contact
scheduling.alertsilence             end           alert_silence.changed    scheduling.alertsilence
scheduling.batch                    close         batch.closed             scheduling.batch
scheduling.batch                    cancel        batch.cancelled          scheduling.batch
scheduling.bulkoperation            abort         bulk_operation.aborted   scheduling.bulkoperation
scheduling.bulkoperation            undo          bulk_operation.undone    scheduling.bulkoperation
scheduling.cfsplan                  add           cfs_plan.created         scheduling.cfsplan
scheduling.cfsplan                  change        cfs_plan.changed         scheduling.cfsplan
scheduling.cfsplan                  activate      cfs_plan.activated       scheduling.cfsplan
scheduling.cfsplan                  rollback      cfs_plan.rolled_back     scheduling.cfsplan
scheduling.cfsplan                  withdraw      cfs_plan.version_withdrawn scheduling.cfsplan
scheduling.circuit                  add           circuit.forced_open      scheduling.circuit
scheduling.circuit                  reset         circuit.reset            scheduling.circuit
scheduling.circuit                  force_open    circuit.forced_open      scheduling.circuit
scheduling.circuit                  force_closed  circuit.forced_closed    scheduling.circuit
tenants.tenantrole                  add           role.created             tenants.tenantrole
tenants.tenantrole                  change        role.changed             tenants.tenantrole
tenants.tenantrole                  delete        role.deleted             tenants.tenantrole
tenants.approvalrule                add           approval_rule.created    tenants.approvalrule
tenants.approvalrule                change        approval_rule.changed    tenants.approvalrule
tenants.approvalrule                delete        approval_rule.deleted    tenants.approvalrule
tenants.approvalrequest             approve       approval_request.approved tenants.approvalrequest
tenants.approvalrequest             reject        approval_request.rejected tenants.approvalrequest
tenants.accessreview                add           access_review.opened     tenants.accessreview
tenants.accessreview                refresh       access_review.refreshed  tenants.accessreview
tenants.accessreview                close         access_review.closed     tenants.accessreview
tenants.accessreviewline            keep          access_review.decided    tenants.accessreview
tenants.claimrule                   add           claim_rule.created       tenants.claimrule
tenants.claimrule                   change        claim_rule.changed       tenants.claimrule
tenants.claimrule                   delete        claim_rule.deleted       tenants.claimrule
scheduling.sheddingrule             add           shedding_rule.created    scheduling.sheddingrule
scheduling.sheddingrule             change        shedding_rule.changed    scheduling.sheddingrule
scheduling.sheddingrule             delete        shedding_rule.deleted    scheduling.sheddingrule
scheduling.priorityrule             add           priority_rule.created    scheduling.priorityrule
scheduling.priorityrule             change        priority_rule.changed    scheduling.priorityrule
scheduling.priorityrule             delete        priority_rule.deleted    scheduling.priorityrule
scheduling.backupplan               add           backup_plan.created      scheduling.backupplan
scheduling.backupplan               change        backup_plan.changed      scheduling.backupplan
scheduling.backupplan               delete        backup_plan.deleted      scheduling.backupplan
scheduling.loadstate                force_normal  load.forced              scheduling.loadstate
scheduling.loadstate                force_busy    load.forced              scheduling.loadstate
scheduling.loadstate                force_overloaded load.forced           scheduling.loadstate
scheduling.loadstate                force_brown_out load.forced            scheduling.loadstate
scheduling.loadstate                release       load.released            scheduling.loadstate
scheduling.compensation             retry         compensation.retried     scheduling.compensation
scheduling.compensation             settle        compensation.settled     scheduling.compensation
scheduling.outboxroute              add           outbox_route.created     scheduling.outboxroute
scheduling.outboxroute              change        outbox_route.changed     scheduling.outboxroute
scheduling.outboxroute              delete        outbox_route.deleted     scheduling.outboxroute
scheduling.outboxmessage            retry         outbox_message.retried   scheduling.outboxmessage
scheduling.eventtrigger             add           event_trigger.created    scheduling.eventtrigger
scheduling.eventtrigger             change        event_trigger.changed    scheduling.eventtrigger
scheduling.eventtrigger             delete        event_trigger.deleted    scheduling.eventtrigger
scheduling.deadletter               requeue       job.retried              scheduling.job
scheduling.deadletter               edit          job.payload_revealed     scheduling.job
scheduling.job                      retry         job.retried              scheduling.job
scheduling.job                      edit          job.payload_revealed     scheduling.job
scheduling.job                      cancel        job.cancelled            scheduling.job
scheduling.job                      suspend       job.suspended            scheduling.job
scheduling.job                      resume        job.resumed              scheduling.job
scheduling.job                      override_controls control.overridden   scheduling.job
scheduling.controlrule              add           control_rule.created     scheduling.controlrule
scheduling.controlrule              change        control_rule.changed     scheduling.controlrule
scheduling.controlrule              delete        control_rule.deleted     scheduling.controlrule
scheduling.job                      reveal        job.payload_revealed     scheduling.job
workflow_storage.workflowrun        reveal        workflow_run.revealed    workflow_storage.workflowrun
scheduling.kindpause                add           kind.paused              scheduling.kind
scheduling.kindpause                resume        kind.resumed             scheduling.kind
scheduling.queue                    add           queue.created            scheduling.queue
scheduling.queue                    change        queue.changed            scheduling.queue
scheduling.queue                    pause         queue.paused             scheduling.queue
scheduling.queue                    resume        queue.resumed            scheduling.queue
scheduling.queue                    drain         queue.draining           scheduling.queue
scheduling.worker                   drain         worker.draining          scheduling.worker
scheduling.worker                   resume        worker.resumed           scheduling.worker
scheduling.workerpool               pause         pool.paused              scheduling.workerpool
scheduling.workerpool               drain         pool.draining            scheduling.workerpool
scheduling.workerpool               resume        pool.resumed             scheduling.workerpool
scheduling.routingrule              add           routing_rule.created     scheduling.routingrule
scheduling.routingrule              change        routing_rule.changed     scheduling.routingrule
scheduling.schedule                 add           schedule.created         scheduling.schedule
scheduling.schedule                 change        schedule.updated         scheduling.schedule
scheduling.schedule                 run_now       schedule.run             scheduling.schedule
scheduling.schedule                 pause         schedule.paused          scheduling.schedule
scheduling.schedule                 resume        schedule.resumed         scheduling.schedule
scheduling.schedule                 delete        schedule.deleted         scheduling.schedule
scheduling.workerpool               add           worker_pool.created      scheduling.workerpool
scheduling.workerpool               change        worker_pool.changed      scheduling.workerpool
tenants.apikey                      add           api_key.issued           tenants.apikey
tenants.apikey                      rotate        api_key.rotated          tenants.apikey
tenants.apikey                      revoke        api_key.revoked          tenants.apikey
tenants.platformkey                 add           api_key.issued           tenants.apikey
tenants.platformkey                 rotate        api_key.rotated          tenants.apikey
tenants.platformkey                 revoke        api_key.revoked          tenants.apikey
tenants.invitation                  add           invitation.created       tenants.invitation
tenants.invitation                  revoke        invitation.revoked       tenants.invitation
tenants.membership                  change        membership.role_changed  tenants.membership
tenants.membership                  remove        membership.removed       tenants.membership
tenants.tenantsecret                add           secret.created           tenants.tenantsecret
tenants.tenantsecret                change        secret.rotated           tenants.tenantsecret
tenants.tenantsecret                delete        secret.deleted           tenants.tenantsecret
tenants.platformmembership          add           platform_role.granted    auth.user
tenants.platformmembership          change        platform_role.changed    auth.user
tenants.platformmembership          revoke        platform_role.revoked    auth.user
tenants.plan                        add           plan.created             tenants.plan
tenants.plan                        change        plan.updated             tenants.plan
tenants.plan                        rollback      plan.rolled_back         tenants.plan
tenants.plan                        withdraw      plan.version_withdrawn   tenants.plan
tenants.tenant                      add           tenant.created           tenants.tenant
tenants.tenant                      change        tenant.updated           tenants.tenant
tenants.tenant                      pause         tenant.paused            tenants.tenant
tenants.tenant                      resume        tenant.resumed           tenants.tenant
tenants.tenant                      suspend       tenant.suspended         tenants.tenant
tenants.tenant                      reinstate     tenant.reinstated        tenants.tenant
tenants.tenant                      drain         tenant.draining          tenants.tenant
tenants.tenant                      hold          legal_hold.placed        tenants.legalhold
tenants.tenant                      view_as       tenant.view_started      tenants.tenant
tenants.legalhold                   release       legal_hold.released      tenants.legalhold
tenants.tenant                      erase         tenant.erasure_requested tenants.tenanterasure
tenants.tenanterasure               cancel        tenant.erasure_cancelled tenants.tenanterasure
tenants.tenantlimit                 add           tenant.limit_set         tenants.tenant
tenants.tenantlimit                 change        tenant.limit_set         tenants.tenant
tenants.tenantlimit                 clear         tenant.limit_cleared     tenants.tenant
tenants.tier                        add           tier.created             tenants.tier
tenants.tier                        change        tier.updated             tenants.tier
workflow_execution.approval         approve       approval.decided         workflow_execution.approval
workflow_execution.approval         reject        approval.decided         workflow_execution.approval
scheduling.jobtemplate              add           job_template.created     scheduling.jobtemplate
scheduling.jobtemplate              change        job_template.updated     scheduling.jobtemplate
scheduling.jobtemplate              delete        job_template.deleted     scheduling.jobtemplate
scheduling.jobtemplate              rollback      job_template.rolled_back scheduling.jobtemplate
scheduling.jobtemplate              withdraw      job_template.version_withdrawn scheduling.jobtemplate
scheduling.job                      save_as_template job_template.created  scheduling.jobtemplate
workflow_execution.workflow         add           workflow.created         workflow_execution.workflow
workflow_execution.workflow         change        workflow.updated         workflow_execution.workflow
workflow_execution.workflow         delete        workflow.deleted         workflow_execution.workflow
workflow_execution.workflow         rollback      workflow.rolled_back     workflow_execution.workflow
workflow_execution.workflow         withdraw      workflow.version_withdrawn workflow_execution.workflow
scheduling.alert                    investigate   investigation.created    scheduling.investigation
scheduling.investigation            add           investigation.created    scheduling.investigation
scheduling.investigation            change        investigation.answered   scheduling.investigation
scheduling.objective                add           objective.created        scheduling.objective
scheduling.objective                change        objective.changed        scheduling.objective
scheduling.objective                delete        objective.deleted        scheduling.objective
scheduling.evidencepack             add           evidence_pack.created    scheduling.evidencepack
scheduling.evidencepack             change        evidence_pack.changed    scheduling.evidencepack
scheduling.evidencepack             download      evidence_pack.downloaded scheduling.evidencepack
scheduling.evidencepack             delete        evidence_pack.deleted    scheduling.evidencepack
scheduling.evidenceschedule         add           evidence_schedule.created scheduling.evidenceschedule
scheduling.evidenceschedule         change        evidence_schedule.changed scheduling.evidenceschedule
scheduling.evidenceschedule         delete        evidence_schedule.deleted scheduling.evidenceschedule
triggers.webhooktrigger             add           webhook_trigger.created  triggers.webhooktrigger
triggers.webhooktrigger             change        webhook_trigger.changed  triggers.webhooktrigger
triggers.webhooktrigger             rotate        webhook_trigger.rotated  triggers.webhooktrigger
triggers.webhooktrigger             delete        webhook_trigger.deleted  triggers.webhooktrigger
model_endpoints.modelendpoint       add           model_endpoint.created   model_endpoints.modelendpoint
model_endpoints.modelendpoint       change        model_endpoint.changed   model_endpoints.modelendpoint
model_endpoints.modelendpoint       try_it        model_endpoint.tested    model_endpoints.modelendpoint
model_endpoints.modelendpoint       delete        model_endpoint.deleted   model_endpoints.modelendpoint
webhooks.webhook                    add           webhook.created          webhooks.webhook
webhooks.webhook                    change        webhook.changed          webhooks.webhook
webhooks.webhook                    try_it        job.submitted            scheduling.job
webhooks.webhook                    rotate        webhook.rotated          webhooks.webhook
webhooks.webhook                    delete        webhook.deleted          webhooks.webhook
"""

# Actions on selected rows of a list.
ACTIONS = """
tenants.accessreviewline keep_selected  access_review.decided    tenants.accessreview
scheduling.deadletter requeue_selected  bulk_operation.started+bulk_operation.ended scheduling.bulkoperation
scheduling.job        retry_selected    bulk_operation.started+bulk_operation.ended scheduling.bulkoperation
scheduling.job        cancel_selected   bulk_operation.started+bulk_operation.ended scheduling.bulkoperation
"""

# The console's other routes, by their POST requests.
CONSOLE = """
POST login/                                session.opened        auth.user
POST login/?wrong                          session.refused       auth.user
POST logout/                               session.closed        auth.user
POST invitation/                           invitation.accepted   tenants.invitation
POST password_change/                      user.password_changed auth.user
POST sign-in/                              session.opened        auth.user
POST sign-in/cancel/                       session.closed        auth.user
POST sign-in/second-factor/activate/       second_factor.added+second_factor.added auth.user
POST sign-in/second-factor/deactivate/     second_factor.removed auth.user
POST sign-in/second-factor/reauthenticate/ second_factor.refused auth.user
POST sign-in/second-factor/recovery-codes/generate/ second_factor.added auth.user
POST sign-in/second-factor/keys/add/       second_factor.added+second_factor.added auth.user
POST sign-in/second-factor/keys/0/remove/  second_factor.removed auth.user
POST auth/user/{user}/password/            user.changed          auth.user
POST files/uploadedfile/upload/            files.uploaded        files.uploadedfile
POST retrieval/chunk/{chunk}/add-after/    chunk.added           retrieval.chunk
POST retrieval/chunk/{chunk}/split/        chunk.split           retrieval.chunk
POST retrieval/chunk/{chunk}/restore/      chunk.restored        retrieval.chunk
POST retrieval/document/{document}/metadata/ document.metadata_changed retrieval.document
POST retrieval/document/reindex/           dataset.reindexed     retrieval.dataset
POST retrieval/dataset/{dataset}/reembed/  dataset.reembedded    retrieval.dataset
POST retrieval/document/upload/            documents.uploaded    retrieval.dataset
POST document_evaluation/evaluation/start/ evaluation.started    document_evaluation.evaluation
POST scheduling/bulkoperation/start/       bulk_operation.started scheduling.bulkoperation
POST scheduling/job/{job}/replay/          job.retried           scheduling.job
POST scheduling/job/submit/                job.submitted         scheduling.job
POST scheduling/job/{job}/notes/           job.noted             scheduling.job
POST scheduling/job/views/                 saved_view.created    scheduling.savedview
POST scheduling/job/views/{view}/rename/   saved_view.renamed    scheduling.savedview
POST scheduling/job/views/{view}/forget/   saved_view.deleted    scheduling.savedview
POST scheduling/jobtemplate/{template}/run/ job.submitted        scheduling.job
POST workflow_execution/workflow/{workflow}/run/ job.submitted   scheduling.job
POST workflow_execution/workflow/replay/{workflow_run}/ workflow_run.replayed workflow_storage.workflowrun
POST scheduling/deadletter/{letter}/requeue-edited/ job.retried  scheduling.job
POST scheduling/schedule/{schedule}/backfill/ schedule.backfilled scheduling.schedule
POST export/errors/                        list.exported         scheduling.joberror
POST tenants/tenant/leave/                 tenant.view_ended     tenants.tenant
POST tenants/tenantsettings/of/{tenant}/   settings.changed      tenants.tenant
POST scheduling/upkeeprun/run/partitions/  upkeep.requested      scheduling.upkeep
POST scheduling/tenantupkeeprun/verify/    upkeep.requested      scheduling.upkeep
"""

COMMANDS = """
ack_alert            alert.acknowledged     scheduling.alert
investigate          investigation.created  scheduling.investigation
silence_alert        alert_silence.created  scheduling.alertsilence
add_member           membership.added       tenants.membership
access_reviews       access_review.closed    tenants.accessreview
approvals            approval_request.approved tenants.approvalrequest
backfill_schedule    schedule.backfilled    scheduling.schedule
backup               backup.made            scheduling.backup
bulk_jobs            bulk_operation.started scheduling.bulkoperation
cancel_jobs          bulk_operation.started scheduling.bulkoperation
change_password      user.password_changed  auth.user
compliance_report    evidence.made          scheduling.evidence
create_platform_admin user.created          auth.user
create_queue         queue.created          scheduling.queue
create_tenant        tenant.created         tenants.tenant
create_worker_pool   worker_pool.created    scheduling.workerpool
override_controls    control.overridden     scheduling.job
force_circuit        circuit.forced_open    scheduling.circuit
erase_tenant         tenant.erasure_requested tenants.tenanterasure
encrypt_stored_values encryption.sealing+encryption.sealed tenants.tenantdatakey
grant_platform_role  platform_role.granted  auth.user
import_periodic_tasks schedule.imported     scheduling.schedule
evaluate_dataset     evaluation.started     document_evaluation.evaluation
index_documents      documents.uploaded     retrieval.dataset
issue_api_key        api_key.issued         tenants.apikey
load_state           load.forced            scheduling.loadstate
move_backlog         bulk_operation.started scheduling.bulkoperation
versions             plan.rolled_back       tenants.plan
snapshot             snapshot.taken         scheduling.backup
prune_finished       jobs.pruning+jobs.pruned scheduling.job
reset_circuit        circuit.reset          scheduling.circuit
reinstate_tenant     tenant.reinstated      tenants.tenant
requeue_dead_letters bulk_operation.started scheduling.bulkoperation
retry_jobs           bulk_operation.started scheduling.bulkoperation
revoke_api_key       api_key.revoked        tenants.apikey
drain                queue.draining         scheduling.queue
pause                queue.paused           scheduling.queue
promote              site.promoted          scheduling.site
resume               queue.resumed          scheduling.queue
rotate_encryption_keys encryption.keys_replaced tenants.tenantdatakey
run_schedule         schedule.run           scheduling.schedule
run_upkeep           upkeep.run             scheduling.upkeep
set_secret           secret.created         tenants.tenantsecret
set_tenant_limit     tenant.limit_set       tenants.tenant
submit_job           job.submitted          scheduling.job
run_template         job.submitted          scheduling.job
import_templates     job_template.created   scheduling.jobtemplate
suspend_tenant       tenant.suspended       tenants.tenant
tenant_settings      settings.changed       tenants.tenant
remove_second_factor second_factor.removed  auth.user
unlock_login         user.unlocked          auth.user
verify               state.repaired         scheduling.state
"""

# Types of targets without a tenant: their entries are in the platform's chain. All others name their tenant.
OF_PLATFORM = frozenset(
    {
        "auth.user",
        "django_celery_beat.clockedschedule",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
        "django_celery_beat.periodictask",
        "django_celery_beat.solarschedule",
        "scheduling.cfsplan",
        "scheduling.kind",
        "scheduling.loadstate",
        "scheduling.priorityrule",
        "scheduling.sheddingrule",
        "tenants.approvalrule",
        "tenants.claimrule",
        "scheduling.site",
        "scheduling.backup",
        "scheduling.backupplan",
        "scheduling.evidence",
        "scheduling.queue",
        "scheduling.routingrule",
        "scheduling.sharedcircuit",
        "scheduling.upkeep",
        "scheduling.worker",
        "scheduling.workerpool",
        "tenants.plan",
        "tenants.tenantdatakey",
        # The tenant's own chain is erased with it.
        "tenants.tenanterasure",
        "tenants.tenantusage",
        "tenants.tier",
    }
)

# Other actions with entries outside acme, by address: another tenant's slug, or None for the platform.
ELSEWHERE: dict[str, str | None] = {
    # In the scope of all tenants.
    **dict.fromkeys(("scheduling.alert investigate", "scheduling.investigation add", "investigate")),
    **{f"POST tenants/globex/{act}/": "globex" for act in ("suspend", "reinstate", "pause", "drain", "resume")},
    "PATCH tenants/globex/": "globex",
    **{f"POST platform-keys/{act}": None for act in ("", "{platform_key}/rotate/", "{platform_key}/revoke/")},
    **{f"tenants.platformkey {act}": None for act in ("add", "rotate", "revoke")},
    # Over all tenants at once.
    "POST export/errors/": None,
    "POST tenants/auditlogentry/verify/": None,
    "move_backlog": None,
    # Saved by an account that sees the jobs of all tenants.
    "POST scheduling/job/views/": None,
}

# Requests and commands without relevant changes, each with the reason: addresses of the table of access (or routes as
# the failing test names them), and commands.
NO_ACTS: dict[str, str] = {
    "POST triggers/{webhook_trigger}/": "a signed one starts a job, whose entry names the trigger",
    "POST routing-rules/test/": "asks the rules and stores nothing",
    "POST alert-rules/preview/": "computes times and stores nothing",
    "POST priority-rules/{priority_rule}/what-if/": "replays the last hour and stores nothing",
    "POST controls/{control}/preview/": "reads the jobs of the last hour and stores nothing",
    "POST schedules/preview/": "computes times and stores nothing",
    "POST cfs-plans/what-if/": "simulates and stores nothing",
    "POST datasets/{dataset}/search/": "a search whose words are too long for a URL",
    "POST datasets/{dataset}/preview/": "splits a text and stores nothing",
    "POST datasets/search/": "a search of several datasets, whose words are too long for a URL",
    "POST workflows/check/": "checks a definition and stores nothing",
    "POST workflows/{workflow}/preview/": "compares a definition and stores nothing",
    "POST tenants/tenant/choose/": "what a member looks at next is a preference of its own",
    "check": "Django's, reads",
    "clearsessions": "Django's; removes what has expired, as upkeep does",
    "collectstatic": "Django's; copies files of the program",
    "restore_archive": "leaves archive.restored, and needs an archive: tests/integration/scheduling/upkeep",
    "restore_tenant": "leaves tenant.restored, and needs a backup: tests/integration/scheduling/backups",
    "restore": "leaves backup.restored in the database that it creates: tests/integration/scheduling/backups",
    "drill": "leaves backup.verified, and needs a backup: tests/integration/scheduling/backups",
    "bootstrap_database": "an administrator's connection makes the database; there is no log yet",
    "build_search_indexes": "the same answers, sooner",
    "access_review": "reads",
    "check_process": "reads",
    "compare_sites": "reads",
    "check_alert_rule": "reads",
    "create_processor": "writes files of a new package, and nothing of the platform",
    "diagnose": "reads",
    "explain_job": "reads",
    "export_templates": "reads",
    "list_alerts": "reads",
    "list_anomalies": "reads",
    "list_circuits": "reads",
    "list_schedules": "reads",
    "mirror_files": "copies files under keys that rows have, and changes no row; a standby has no log of its own",
    "search_logs": "reads",
    "show_usage": "reads",
    "tail_job": "reads",
    "dispatch_jobs": "the machine's own work, which stands in the events of jobs",
    "export_audit_heads": "copies what the auditor signed, and changes nothing",
    "run_auditor": "seals, signs and prunes the log itself: seals and signed heads are its record",
    "migrate": "Django's own history of migrations; the log's tables may not exist yet",
    "run_platform": "starts processes",
    "autoscale_workers": "starts processes; whom it drains, the service that drains writes down",
    "run_worker": "the machine's own work, which stands in the events of jobs",
    "what_if": "simulates and stores nothing",
    "fetch_files": "reads, and writes copies of files that only jobs read",
    "export_workload": "reads, and writes a file without names or payloads",
    "simulate_fairness": "computes, and asks no database",
    "tenants.accessreviewline revoke": "leaves the entry of the ended right, too: tests/integration/tenants/access",
    "tenants.tenanterasure verify": "recounts and stores nothing",
}
