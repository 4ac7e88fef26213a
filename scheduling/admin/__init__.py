"""The console's pages of jobs, queues, plans and their history."""

from scheduling.admin import (
    batches,
    beat,
    cfs_plans,
    circuits,
    dead_letters,
    fair_share,
    history,
    jobs,
    kind_pauses,
    plans,
    queues,
    routing,
    schedules,
    topology,
    upkeep,
    workers,
)

__all__ = [
    "batches",
    "beat",
    "cfs_plans",
    "circuits",
    "dead_letters",
    "fair_share",
    "history",
    "jobs",
    "kind_pauses",
    "plans",
    "queues",
    "routing",
    "schedules",
    "topology",
    "upkeep",
    "workers",
]
