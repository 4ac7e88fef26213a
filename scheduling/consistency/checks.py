"""List of the checks of the scheduling app, in the order in which they repair."""

from __future__ import annotations

from scheduling.consistency import batches, chains, counters, executions, history, jobs, rollups, sums, waiting

# Places and executions come first, so that wrong ones are gone before jobs are put anywhere; counters count the rest.
CHECKS = (
    *waiting.CHECKS,
    *executions.CHECKS,
    *jobs.CHECKS,
    batches.BATCHES,
    *history.CHECKS,
    batches.REFUSED,
    *counters.CHECKS,
    sums.USAGE_CHECK,
    *rollups.CHECKS,
    sums.LEDGER_CHECK,
    *chains.CHECKS,
)
