"""Import of all models of the scheduling app, so that Django finds them."""

from scheduling.alerts.contact_models import (
    AlertMessage,
    AlertNotice,
    AlertOwner,
    AlertRoute,
    AlertSilence,
    Contact,
    ContactGroup,
)
from scheduling.alerts.models import Alert, AlertCause, AlertClock, AlertRule, MeasureMinute, PlatformIncident
from scheduling.anomalies.models import Anomaly, SeriesBaseline, SeriesSummary
from scheduling.archive.models import ArchiveObject
from scheduling.backups.models import Backup, BackupPlan
from scheduling.breakers.models import Circuit, CircuitNews
from scheduling.bulk.models import BulkFormer, BulkOperation
from scheduling.compensation.models import Compensation
from scheduling.controls.models import ControlHold, ControlRule
from scheduling.dispatch.models import Settled, SettledRefused, Wake
from scheduling.evidence.models import EvidencePack, EvidenceSchedule
from scheduling.execution.logs.models import JobError, JobLog, JobLogTally
from scheduling.execution.models import Charge, Execution, JobEvent, LiveExecution
from scheduling.inbox.models import EventTrigger, InboxEvent
from scheduling.investigation.models import Investigation
from scheduling.jobs.batches.models import Batch, BatchNews
from scheduling.jobs.dead_letters.models import DeadLetter
from scheduling.jobs.job_keys.models import ConcurrencyKey, ConcurrencyKeyNews, UniqueKey
from scheduling.jobs.job_templates.models import JobTemplate, JobTemplateVersion
from scheduling.jobs.meta.models import JobMeta
from scheduling.jobs.models import Job, JobDeadline, JobDue, JobHeld, JobReady, JobSuspended
from scheduling.jobs.notes.models import JobNote
from scheduling.jobs.result_cache.models import ResultCacheEntry
from scheduling.jobs.routing.models import RoutingRule, RoutingTarget
from scheduling.jobs.saved_views.models import SavedView
from scheduling.load.models import LoadState, SheddingRule
from scheduling.log_search.models import LogSegment, LogVolume, PlatformLog
from scheduling.objectives.models import ExcusedMinute, Objective, ObjectiveHour, ObjectiveMinute, StateMinute
from scheduling.outbox.models import OutboxMessage, OutboxRoute
from scheduling.plans.models import (
    CFSPlan,
    CFSPlanTier,
    CFSPlanVersion,
    FairShareNode,
    KindCost,
    TenantCapacity,
    TenantKindCost,
)
from scheduling.priority_rules.models import PriorityRule
from scheduling.regions.models import JobSubject, RegionLabel
from scheduling.schedules.models import Schedule, ScheduleFire
from scheduling.sites.models import Site
from scheduling.statistics.models import (
    KindMinute,
    PoolGauge,
    QueueGauge,
    QueueMinute,
    RollupClock,
    SeriesHour,
    SeriesTally,
    ShareMinute,
    Tally,
    TenantGauge,
    TenantMinute,
    WorkerMinute,
)
from scheduling.stops.models import Drain, KindPause
from scheduling.subscriptions.models import EventRelay
from scheduling.topology.models import (
    MemoryClass,
    PoolClock,
    ProcessHeartbeat,
    Queue,
    QueueClock,
    QueueStanding,
    Resource,
    Worker,
    WorkerPool,
)
from scheduling.upkeep.models import TenantUpkeepRun, UpkeepRun

__all__ = [
    "Alert",
    "AlertCause",
    "AlertClock",
    "AlertMessage",
    "AlertNotice",
    "AlertOwner",
    "AlertRoute",
    "AlertRule",
    "AlertSilence",
    "Anomaly",
    "ArchiveObject",
    "Backup",
    "BackupPlan",
    "Batch",
    "BatchNews",
    "BulkFormer",
    "BulkOperation",
    "CFSPlan",
    "CFSPlanTier",
    "CFSPlanVersion",
    "Charge",
    "Circuit",
    "CircuitNews",
    "Compensation",
    "ConcurrencyKey",
    "ConcurrencyKeyNews",
    "Contact",
    "ContactGroup",
    "ControlHold",
    "ControlRule",
    "DeadLetter",
    "Drain",
    "EventRelay",
    "EventTrigger",
    "EvidencePack",
    "EvidenceSchedule",
    "ExcusedMinute",
    "Execution",
    "FairShareNode",
    "InboxEvent",
    "Investigation",
    "Job",
    "JobDeadline",
    "JobDue",
    "JobError",
    "JobEvent",
    "JobHeld",
    "JobLog",
    "JobLogTally",
    "JobMeta",
    "JobNote",
    "JobReady",
    "JobSubject",
    "JobSuspended",
    "JobTemplate",
    "JobTemplateVersion",
    "KindCost",
    "KindMinute",
    "KindPause",
    "LiveExecution",
    "LoadState",
    "LogSegment",
    "LogVolume",
    "MeasureMinute",
    "MemoryClass",
    "Objective",
    "ObjectiveHour",
    "ObjectiveMinute",
    "OutboxMessage",
    "OutboxRoute",
    "PlatformIncident",
    "PlatformLog",
    "PoolClock",
    "PoolGauge",
    "PriorityRule",
    "ProcessHeartbeat",
    "Queue",
    "QueueClock",
    "QueueGauge",
    "QueueMinute",
    "QueueStanding",
    "RegionLabel",
    "Resource",
    "ResultCacheEntry",
    "RollupClock",
    "RoutingRule",
    "RoutingTarget",
    "SavedView",
    "Schedule",
    "ScheduleFire",
    "SeriesBaseline",
    "SeriesHour",
    "SeriesSummary",
    "SeriesTally",
    "Settled",
    "SettledRefused",
    "ShareMinute",
    "SheddingRule",
    "Site",
    "StateMinute",
    "Tally",
    "TenantCapacity",
    "TenantGauge",
    "TenantKindCost",
    "TenantMinute",
    "TenantUpkeepRun",
    "UniqueKey",
    "UpkeepRun",
    "Wake",
    "Worker",
    "WorkerMinute",
    "WorkerPool",
]
