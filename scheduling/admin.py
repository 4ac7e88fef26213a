"""Import of all modules with console pages of scheduling, which registers their admin classes."""

from scheduling.alerts import admin as alerts
from scheduling.alerts import config_admin as alert_config
from scheduling.alerts import rule_admin as alert_rules
from scheduling.approvals import admin as approvals
from scheduling.archive import admin as archive
from scheduling.backups import admin as backups
from scheduling.breakers import admin as circuits
from scheduling.bulk import admin as bulk_operations
from scheduling.compensation import admin as compensations
from scheduling.controls import admin as controls
from scheduling.evidence import admin as evidence
from scheduling.execution import admin as history
from scheduling.fleet import admin as workers
from scheduling.identity import admin as identity
from scheduling.inbox import admin as inbox
from scheduling.investigation import admin as investigations
from scheduling.jobs import admin as jobs
from scheduling.jobs.batches import admin as batches
from scheduling.jobs.dead_letters import admin as dead_letters
from scheduling.jobs.job_templates import admin as job_templates
from scheduling.jobs.routing import admin as routing
from scheduling.load import admin as load
from scheduling.objectives import admin as objectives
from scheduling.outbox import admin as outbox
from scheduling.plans import admin as cfs_plans
from scheduling.plans import admin as plans
from scheduling.priority_rules import admin as priority_rules
from scheduling.schedules import admin as schedules
from scheduling.schedules import beat_admin as beat
from scheduling.schedules import fires_admin as fires
from scheduling.shares import admin as fair_share
from scheduling.stops import admin as kind_pauses
from scheduling.tenant_pages import admin as tenants
from scheduling.topology import admin as topology
from scheduling.topology import queues_admin as queues
from scheduling.upkeep import admin as tenant_upkeep
from scheduling.upkeep import admin as upkeep

__all__ = [
    "alert_config",
    "alert_rules",
    "alerts",
    "approvals",
    "archive",
    "backups",
    "batches",
    "beat",
    "bulk_operations",
    "cfs_plans",
    "circuits",
    "compensations",
    "controls",
    "dead_letters",
    "evidence",
    "fair_share",
    "fires",
    "history",
    "identity",
    "inbox",
    "investigations",
    "job_templates",
    "jobs",
    "kind_pauses",
    "load",
    "objectives",
    "outbox",
    "plans",
    "priority_rules",
    "queues",
    "routing",
    "schedules",
    "tenant_upkeep",
    "tenants",
    "topology",
    "upkeep",
    "workers",
]
