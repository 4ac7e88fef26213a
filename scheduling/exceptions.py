"""Errors that the scheduling services raise, each with a stable code and a text for clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import OperationalError
from django.utils.translation import gettext_noop

from tenants.exceptions import DomainError


class KindUnknownError(DomainError):
    code, category, title = "kind_unknown", "invalid", gettext_noop("There is no such job kind")


class KindInternalError(DomainError):
    code, category = "kind_internal", "invalid"
    title = gettext_noop("Only the platform submits jobs of this kind")


class NoStreamsHereError(DomainError):
    code, category, title = "no_streams_here", "not_served", gettext_noop("This process serves no streams")


class StreamsFullError(DomainError):
    code, category, title = "streams_full", "unavailable", gettext_noop("This process has no free streams")


class TooManyStreamsError(DomainError):
    code, category, title = "too_many_streams", "limited", gettext_noop("The caller has too many streams open")


class PositionRefusedError(DomainError):
    code, category, title = "position_invalid", "invalid", gettext_noop("Last-Event-ID is not an id of this stream")


class KindNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such job kind")


class BatchClosedError(DomainError):
    code, category, title = "batch_closed", "conflict", gettext_noop("The batch is closed")


class BatchEndedError(DomainError):
    code, category, title = "batch_ended", "conflict", gettext_noop("All jobs of the batch have ended")


class PayloadInvalidError(DomainError):
    code, category, title = "payload_invalid", "invalid", gettext_noop("The payload does not fit the kind's schema")


class PayloadTooLargeError(DomainError):
    code, category, title = "payload_too_large", "too_large", gettext_noop("The payload is too large")


class OptionInvalidError(DomainError):
    code, category, title = "option_invalid", "invalid", gettext_noop("A job option has a value that is not allowed")


class MessageLateError(DomainError):
    code, category = "message_late", "invalid"
    title = gettext_noop("The schedule's message is more than a day late")


class QueueNotAllowedError(DomainError):
    code, category = "queue_not_allowed", "invalid"
    title = gettext_noop("This kind does not allow the choice of this queue")


class PriorityNotAllowedError(DomainError):
    code, category, title = "priority_not_allowed", "invalid", gettext_noop("The plan does not allow this priority")


class RetriesNotAllowedError(DomainError):
    code, category = "max_retries_not_allowed", "invalid"
    title = gettext_noop("The kind or the plan allows fewer retries")


class RouteMissingError(DomainError):
    code, category, title = "route_missing", "unavailable", gettext_noop("No routing rule sends this kind to a queue")


class MemoryClassError(DomainError):
    code, category = "memory_class", "invalid"
    title = gettext_noop("No worker of this queue has the memory that this kind needs")


class CircuitNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such circuit breaker")


class DependencyNameError(DomainError):
    code, category, title = "dependency_name", "invalid", gettext_noop("The dependency's name is not valid")


class QuotaExceededError(DomainError):
    code, category, title = "quota_exceeded", "limited", gettext_noop("A limit of the plan is reached")


class RateLimitedError(DomainError):
    code, category, title = "rate_limited", "limited", gettext_noop("Jobs are submitted faster than the plan allows")


class BulkTooLargeError(DomainError):
    code, category, title = "batch_too_large", "invalid", gettext_noop("The request has more jobs than the plan allows")


class IdempotencyMismatchError(DomainError):
    code, category = "idempotency_mismatch", "invalid"
    title = gettext_noop("The idempotency key was used for a different request")


class IdempotencyInFlightError(DomainError):
    code, category = "idempotency_in_flight", "conflict"
    title = gettext_noop("A request with this idempotency key is in progress")


class JobNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such job")


class ErrorGroupNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such error in this time range")


class DeadLetterNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such dead letter")


class ExecutionNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such execution")


class BatchNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such batch")


class BulkOperationNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such bulk operation")


class BulkOperationEndedError(DomainError):
    code, category, title = "bulk_operation_ended", "conflict", gettext_noop("The bulk operation has ended")


class BulkNotUndoableError(DomainError):
    code, category, title = "bulk_not_undoable", "conflict", gettext_noop("This bulk operation cannot be undone")


class BulkNumberError(DomainError):
    """The action affects many jobs or tenants and must state the number of jobs; ``number`` is the right one."""

    code, category, title = "bulk_number", "conflict", gettext_noop("The number of jobs must be confirmed")

    def __init__(self, text: str, values: Mapping[str, Any], *, number: int) -> None:
        self.number = number
        super().__init__(text, values)
        self.errors = [{"field": "number", "code": self.code, "detail": self.detail, "number": number}]


class BulkPreviewStaleError(DomainError):
    code, category = "bulk_preview_stale", "conflict"
    title = gettext_noop("The preview has expired, or belongs to another operation")


class BulkFilterEmptyError(DomainError):
    code, category = "bulk_filter_empty", "invalid"
    title = gettext_noop("The filter is empty: it would match every job")


class TooManyBulkOperationsError(DomainError):
    code, category, title = "too_many_bulk_operations", "conflict", gettext_noop("Too many bulk operations are running")


class QueueNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such queue")


class TargetNotFoundError(DomainError):
    code, category = "not_found", "not_found"
    title = gettext_noop("There is no such queue, kind, tenant, pool or worker")


class PoolNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such pool")


class WhatIfNameUnknownError(DomainError):
    code, category = "what_if_name_unknown", "invalid"
    title = gettext_noop("The change names a plan, tenant, queue or tier without work")


class WorkerNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such worker")


class WorkerNotRunningError(DomainError):
    code, category, title = "worker_not_running", "conflict", gettext_noop("The worker's state does not allow this")


class DrainingError(DomainError):
    code, category, title = (
        "draining",
        "unavailable",
        gettext_noop("No new jobs are accepted: the queue, kind or tenant is draining"),
    )


class InvalidTransitionError(DomainError):
    code, category, title = "invalid_transition", "conflict", gettext_noop("The job's state does not allow this")


class TierNotFoundError(DomainError):
    code, category, title = "tier_unknown", "invalid", gettext_noop("There is no such tier")


class CFSPlanNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such CFS plan")


class CFSPlanInvalidError(DomainError):
    code, category, title = "cfs_plan_invalid", "invalid", gettext_noop("The CFS plan is not valid")


class UpkeepUnknownError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such upkeep task")


class CheckUnknownError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such check")


class UpkeepBusyError(DomainError):
    code, category, title = "upkeep_running", "conflict", gettext_noop("This upkeep task is already running")


class BrokerAwayError(DomainError):
    code, category = "broker_unavailable", "unavailable"
    title = gettext_noop("The broker does not respond; try again later")


class UpkeepUnavailableError(DomainError):
    code, category = "broker_unavailable", "unavailable"
    title = gettext_noop("The broker accepts no messages; try again later")


class ScheduleNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such schedule")


class ScheduleInvalidError(DomainError):
    code, category, title = "schedule_invalid", "invalid", gettext_noop("The schedule is not valid")


class ScheduleLimitError(DomainError):
    code, category, title = "schedule_limit", "invalid", gettext_noop("The plan allows no more schedules")


class ScheduleStaleError(DomainError):
    code, category, title = "schedule_stale", "stale", gettext_noop("Another user has changed the schedule")


class BackfillInvalidError(DomainError):
    code, category, title = "backfill_invalid", "invalid", gettext_noop("These times cannot be backfilled")

    @classmethod
    def of(cls, field: str, detail: str) -> BackfillInvalidError:
        """Return the error that one field is invalid."""
        return cls(f"{field}: {detail}", errors=[{"field": field, "code": cls.code, "detail": detail}])


class SavedViewNotFoundError(DomainError):
    code, category, title = "not_found", "not_found", gettext_noop("There is no such view")


class SavedViewInvalidError(DomainError):
    code, category, title = "saved_view_invalid", "invalid", gettext_noop("The view cannot be saved")


class SavedViewNameTakenError(DomainError):
    code, category, title = "name_taken", "conflict", gettext_noop("A view of this name already exists")


class SavedViewLimitError(DomainError):
    code, category, title = "saved_view_limit", "invalid", gettext_noop("The limit of saved views is reached")


class BrokerUnavailableError(Exception):
    """The broker refused a message; the claim of its job is undone."""


class JobLockedError(OperationalError):
    """Another session has held the lock of a job's row for longer than the lock timeout."""


class FenceLostError(Exception):
    """Another start of the job has superseded this execution; its transaction must roll back."""
