"""The tables of what and when."""

from scheduling.models.batches import Batch, BatchNews
from scheduling.models.bulk import BulkFormer, BulkOperation
from scheduling.models.circuits import Circuit, CircuitNews
from scheduling.models.dead_letters import DeadLetter
from scheduling.models.executions import Charge, Execution, JobEvent, LiveExecution, Settled, SettledRefused, Wake
from scheduling.models.fair_share import (
    CFSPlan,
    CFSPlanTier,
    CFSPlanVersion,
    KindCost,
    SchedulingEntity,
    TenantCapacity,
    TenantKindCost,
)
from scheduling.models.gauges import PoolGauge, QueueGauge, TenantGauge
from scheduling.models.job_logs import JobError, JobLog, JobLogTally
from scheduling.models.jobs import (
    Job,
    JobDeadline,
    JobDue,
    JobHeld,
    JobReady,
    JobSuspended,
)
from scheduling.models.kept_results import KeptResult
from scheduling.models.relays import EventRelay
from scheduling.models.rollups import KindHour, QueueMinute, RollupClock, ShareMinute, Tally, TenantMinute
from scheduling.models.routing import RoutingRule, RoutingTarget
from scheduling.models.saved_views import SavedView
from scheduling.models.schedules import Schedule, ScheduleFire
from scheduling.models.stops import Drain, KindPause
from scheduling.models.topology import (
    MemoryClass,
    PoolClock,
    ProcessHeartbeat,
    Queue,
    QueueClock,
    QueueStanding,
    Worker,
    WorkerPool,
)
from scheduling.models.upkeep import TenantUpkeepRun, UpkeepRun

__all__ = [
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
    "DeadLetter",
    "Drain",
    "EventRelay",
    "Execution",
    "Job",
    "JobDeadline",
    "JobDue",
    "JobError",
    "JobEvent",
    "JobHeld",
    "JobLog",
    "JobLogTally",
    "JobReady",
    "JobSuspended",
    "KeptResult",
    "KindCost",
    "KindHour",
    "KindPause",
    "LiveExecution",
    "MemoryClass",
    "PoolClock",
    "PoolGauge",
    "ProcessHeartbeat",
    "Queue",
    "QueueClock",
    "QueueGauge",
    "QueueMinute",
    "QueueStanding",
    "RollupClock",
    "RoutingRule",
    "RoutingTarget",
    "SavedView",
    "Schedule",
    "ScheduleFire",
    "SchedulingEntity",
    "Settled",
    "SettledRefused",
    "ShareMinute",
    "Tally",
    "TenantCapacity",
    "TenantGauge",
    "TenantKindCost",
    "TenantMinute",
    "TenantUpkeepRun",
    "UpkeepRun",
    "Wake",
    "Worker",
    "WorkerPool",
]
