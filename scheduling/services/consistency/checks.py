"""The checks of what jobs are made of, in the order in which repairs rest on one another."""

from __future__ import annotations

from scheduling.services.consistency import batches, executions, history, jobs, places, proofs, refused

# Places and executions first: what stands wrongly is gone before a job is put anywhere. Counters count what is left.
CHECKS = (
    *places.CHECKS,
    *executions.CHECKS,
    *jobs.CHECKS,
    *batches.CHECKS,
    *history.CHECKS,
    *refused.CHECKS,
    *proofs.CHECKS,
)
