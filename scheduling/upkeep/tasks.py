"""Upkeep tasks of the scheduling app, in the order in which the console shows them."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_noop

from scheduling.alerts.messages import send_notice
from scheduling.anomalies.baselines import tend_baselines
from scheduling.backups.upkeep import back_up
from scheduling.evidence.service import make_packs
from scheduling.jobs.fair_share_nodes import delete_idle_key_nodes
from scheduling.log_search.segments import CHECKED_SEGMENTS, add_late_lines, remove_empty_segments
from scheduling.statistics.rollups import FOLD_ROWS, fold_tallies
from scheduling.upkeep.check_tasks import check_tasks
from scheduling.upkeep.partitions import estimate_default_rows, maintain_partitions, missing_days
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from scheduling.upkeep.retention import steps as retention
from scheduling.upkeep.tenant_runs import republish_idle_runs
from tenants.access.key_warnings import warn_of_next_ending_key
from tenants.approvals.mails import mail_next_expired
from tenants.erasure.steps import advance, due_erasures
from tenants.translation import LocalizableText

logger = logging.getLogger(__name__)

MAX_FINDING_CHARACTERS = 500
MINUTELY, HOURLY, DAILY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def _make_partitions(budget: UpkeepBudget) -> UpkeepStep:
    del budget
    counts = {"partitions_made": len(maintain_partitions()), "default_rows": estimate_default_rows()}
    return UpkeepStep(counts, findings=missing_days())


def _erase_tenants(budget: UpkeepBudget) -> UpkeepStep:
    # An erasure that waits for running jobs or fails must not delay the others.
    due, has_more = due_erasures(), False
    findings: list[LocalizableText] = []
    for erasure_id in due:
        try:
            has_more = advance(erasure_id, most=budget.batch_rows) or has_more
        except (OperationalError, InterfaceError):
            raise  # a fault of the database: all of them are retried
        except Exception as error:
            logger.exception("erasure.failed", extra={"erasure": str(erasure_id)})
            words = f"{type(error).__name__}: {error}"[:MAX_FINDING_CHARACTERS]
            findings.append(LocalizableText("Erasure %(erasure)s: %(error)s", {"erasure": erasure_id, "error": words}))
    return UpkeepStep({"erasures_due": len(due)}, has_more=has_more, findings=findings)


def _remove_idle_keys(budget: UpkeepBudget) -> UpkeepStep:
    removed = delete_idle_key_nodes(budget.batch_rows)
    return UpkeepStep({"keys_removed": removed}, has_more=removed >= budget.batch_rows)


def _reindex_logs(budget: UpkeepBudget) -> UpkeepStep:
    late, removed = add_late_lines(), remove_empty_segments(limit=budget.batch_rows)
    counts = {"log_segments_with_late_lines": late, "log_segments_removed": removed}
    return UpkeepStep(counts, has_more=late >= CHECKED_SEGMENTS or removed >= budget.batch_rows)


def _warn_of_ending_keys(budget: UpkeepBudget) -> UpkeepStep:
    del budget
    is_warned = warn_of_next_ending_key(
        lambda warning: send_notice(
            tenant_id=warning.tenant_id, addresses=warning.addresses, subject=warning.subject, text=warning.text
        )
    )
    return UpkeepStep({"keys_warned": int(is_warned)}, has_more=is_warned)


def _mail_expired_approvals(budget: UpkeepBudget) -> UpkeepStep:
    del budget
    is_mailed = mail_next_expired()
    return UpkeepStep({"approvals_expired": int(is_mailed)}, has_more=is_mailed)


def _fold_rollups(budget: UpkeepBudget) -> UpkeepStep:
    # After an outage of the dispatchers, or if they fold too slowly.
    del budget
    folded = fold_tallies()
    return UpkeepStep({"executions": folded}, has_more=folded >= FOLD_ROWS)


def _republish_runs(budget: UpkeepBudget) -> UpkeepStep:
    del budget
    return UpkeepStep({"runs_republished": republish_idle_runs()})


TASKS = (
    UpkeepTask(
        "partitions",
        gettext_noop("Partitions"),
        gettext_noop("Creates the partitions of the coming days in every history table."),
        HOURLY,
        _make_partitions,
    ),
    UpkeepTask(
        "rollups",
        gettext_noop("Rollups"),
        gettext_noop(
            "Counts ended executions that no dispatcher has counted yet; dispatchers count them every second."
        ),
        MINUTELY,
        _fold_rollups,
    ),
    UpkeepTask(
        "fair_keys",
        gettext_noop("Idle fair keys"),
        gettext_noop(
            "Removes the virtual times of fair keys that have no jobs left and are not ahead of the "
            "tenant's other keys."
        ),
        HOURLY,
        _remove_idle_keys,
    ),
    UpkeepTask(
        "finished_jobs",
        gettext_noop("Finished jobs"),
        gettext_noop("Removes completed and cancelled jobs after their plan's retention, and batches left empty."),
        HOURLY,
        retention.prune_finished,
    ),
    UpkeepTask(
        "failed_jobs",
        gettext_noop("Failed jobs"),
        gettext_noop("Removes discarded and quarantined jobs with their dead letters after their plan's retention."),
        HOURLY,
        retention.prune_failed,
    ),
    UpkeepTask(
        "history",
        gettext_noop("History"),
        gettext_noop(
            "Drops days of events, executions, charges and logs after the longest retention, and rows "
            "of tenants with a shorter one."
        ),
        DAILY,
        retention.prune_history,
    ),
    UpkeepTask(
        "audit_log",
        gettext_noop("Audit log"),
        gettext_noop("Requests the auditor to remove audit entries after their plan's retention."),
        DAILY,
        retention.request_audit_pruning,
    ),
    UpkeepTask(
        "erasures",
        gettext_noop("Erasures"),
        gettext_noop("Continues the erasure of tenants after their grace period, a bounded part at a time."),
        MINUTELY,
        _erase_tenants,
    ),
    UpkeepTask(
        "ending_keys",
        gettext_noop("Expiring API keys"),
        gettext_noop(
            "Warns once of each API key that expires within 14 days: an audit entry, and mail to issuer and owners."
        ),
        DAILY,
        _warn_of_ending_keys,
    ),
    UpkeepTask(
        "expired_approvals",
        gettext_noop("Expired approval requests"),
        gettext_noop("Mails once to each person whose request of approval has expired without a decision."),
        HOURLY,
        _mail_expired_approvals,
    ),
    UpkeepTask(
        "platform_rows",
        gettext_noop("Platform rows"),
        gettext_noop(
            "Removes ended sessions, stopped workers, old runs of upkeep, old rollups, past fires and limit warnings."
        ),
        DAILY,
        retention.prune_platform,
    ),
    UpkeepTask(
        "log_index",
        gettext_noop("Index of logs"),
        gettext_noop("Adds log lines that were written late to the index, and removes segments without lines."),
        DAILY,
        _reindex_logs,
    ),
    UpkeepTask(
        "baselines",
        gettext_noop("Usual values"),
        gettext_noop("Summarizes the last hours of kinds, queues and tenants, and learns which values are usual."),
        HOURLY,
        tend_baselines,
    ),
    UpkeepTask(
        "requested_runs",
        gettext_noop("Requested runs"),
        gettext_noop("Publishes requested runs of one tenant again if no worker continues them."),
        MINUTELY,
        _republish_runs,
    ),
    UpkeepTask(
        "due_backups",
        gettext_noop("Backups"),
        gettext_noop("Makes the backups that plans name, and deletes those that they keep no longer."),
        MINUTELY,
        back_up,
    ),
    UpkeepTask(
        "evidence_packs",
        gettext_noop("Evidence packs"),
        gettext_noop("Makes the evidence packs that people and schedules have requested, and sends their links."),
        MINUTELY,
        make_packs,
    ),
    *check_tasks(),
)
