"""Mapping of the names of bulk operations to their actions and the permissions that they need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.utils.translation import gettext

from scheduling.bulk.actions import BulkAction, CancelJobs, DiscardJobs, MoveJobs, ReprioritiseJobs
from scheduling.bulk.replays import Payload, RequeueDeadLetters, RetryJobs
from scheduling.exceptions import PriorityNotAllowedError, QueueNotFoundError
from scheduling.jobs.requests import check_depth
from scheduling.models import BulkOperation, Queue
from tenants.access.permissions import Permission
from tenants.exceptions import DomainError, FieldInvalidError

# Maximum of a smallint; the plan allows less.
MAX_PRIORITY = 32_767
_Operation = BulkOperation.Operation
# Operations on the jobs of a filter.
OF_FILTERS = tuple(name for name in _Operation.values if name != _Operation.REROUTE)


def parse_action(operation: str, parameters: Mapping[str, Any], payload_patch: Payload | None = None) -> BulkAction:
    """Return the action object for an operation's name and its validated parameters.

    Raise FieldInvalidError, QueueNotFoundError or PriorityNotAllowedError for invalid parameters, and
    PayloadInvalidError for a patch that is nested too deep.
    """
    if payload_patch is not None:
        if operation not in (_Operation.RETRY, _Operation.REQUEUE):
            raise _invalid("payload_patch", gettext("This operation does not use this field."))
        check_depth(payload_patch)
    if operation == _Operation.REPRIORITISE:
        _expect(parameters, "priority")
        return ReprioritiseJobs(_read_priority(parameters["priority"]))
    if operation == _Operation.MOVE_QUEUE:
        _expect(parameters, "queue")
        queue = Queue.objects.filter(name=parameters["queue"]).first()
        if queue is None:
            raise QueueNotFoundError("There is no queue %(queue)s.", {"queue": parameters["queue"]})
        return MoveJobs(queue)
    _expect(parameters)
    plain: dict[str, BulkAction] = {
        _Operation.CANCEL: CancelJobs(),
        _Operation.RETRY: RetryJobs(payload_patch),
        _Operation.REQUEUE: RequeueDeadLetters(payload_patch),
        _Operation.DISCARD: DiscardJobs(),
    }
    if operation not in plain:
        raise _invalid("operation", gettext("It must be one of: %(known)s.") % {"known": ", ".join(OF_FILTERS)})
    return plain[operation]


def permission_of(operation: str) -> Permission:
    """Return the permission that an operation needs besides `jobs.bulk`."""
    if operation == _Operation.REROUTE:
        return Permission.FAIRNESS_MANAGE
    if operation in (_Operation.RETRY, _Operation.REQUEUE):
        return Permission.JOBS_RETRY
    return Permission.JOBS_CANCEL if operation in (_Operation.CANCEL, _Operation.DISCARD) else Permission.JOBS_BULK


def _read_priority(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _invalid("priority", gettext("It must be a whole number."))
    if not -MAX_PRIORITY <= value <= MAX_PRIORITY:
        raise PriorityNotAllowedError
    return value


def _expect(parameters: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in parameters:
            raise _invalid(name, gettext("This operation requires this field."))
    for name in parameters:
        if name not in names:
            raise _invalid(name, gettext("This operation does not use this field."))


def check_patch_tenant(tenant_id: UUID | None, payload_patch: Payload | None) -> None:
    """Raise FieldInvalidError for a patch without a tenant: the patch is encrypted with the key of one tenant."""
    if payload_patch is not None and tenant_id is None:
        raise _invalid(
            "payload_patch", gettext("A payload patch needs the jobs of one tenant: add tenant: to the filter.")
        )


def _invalid(name: str, detail: str) -> DomainError:
    fault = {"field": name, "code": "field_invalid", "detail": detail}
    return FieldInvalidError(f"{name}: {detail}", errors=[fault])
