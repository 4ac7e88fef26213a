"""Check of periodic tasks: whether a worker consumes their queue and accepts the task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext
from django_celery_beat.models import PeriodicTask

from scheduling.celery.app import celery_app
from scheduling.celery.publishing import OWN_PREFIX
from scheduling.conf import CANARY_TASK, EXECUTE_TASK, RUN_UPKEEP_TASK, UPKEEP_QUEUE
from scheduling.exceptions import OptionInvalidError
from scheduling.fleet.queries import read_liveness
from scheduling.kit import registry
from scheduling.models import Queue, WorkerPool
from scheduling.upkeep import registry as upkeep_registry
from tenants.context import all_tenants

# Sent by the dispatcher, or by a worker to itself.
_NOT_BEATS = frozenset({EXECUTE_TASK, CANARY_TASK})


@dataclass(frozen=True, slots=True)
class DeliveryFault:
    """Why a periodic task cannot be delivered: the field at fault, and a message that says what to do."""

    field: str
    detail: str


def find_fault(task: PeriodicTask) -> DeliveryFault | None:
    """Return why workers would not run a periodic task; None if they would."""
    if fault := _task_fault(task.task):
        return DeliveryFault("task", fault)
    if task.task == RUN_UPKEEP_TASK and (fault := _upkeep_fault(task.args)):
        return DeliveryFault("args", fault)
    if task.exchange or task.routing_key:
        detail = gettext("Leave exchange and routing key empty: messages are routed by the queue's name alone.")
        return DeliveryFault("exchange" if task.exchange else "routing_key", detail)
    if task.queue and not Queue.objects.filter(name=task.queue).exists():
        detail = gettext(
            "There is no queue %(name)s, so no worker would consume it. Leave it empty for %(default)s."
        ) % {
            "name": task.queue,
            "default": UPKEEP_QUEUE,
        }
        return DeliveryFault("queue", detail)
    if Queue.objects.filter(name=task.queue, pool__resource_class=WorkerPool.ResourceClass.IO).exists():
        detail = gettext("The workers of the queue %(name)s run jobs only. Choose a queue of a CPU pool.")
        return DeliveryFault("queue", detail % {"name": task.queue})
    return None


def find_undelivered() -> list[str]:
    """Return sentences about enabled periodic tasks that no worker would run.

    There is one for each task that cannot be delivered, and one for each queue of the other tasks without a worker.
    """
    with all_tenants():
        tasks = list(PeriodicTask.objects.filter(enabled=True).order_by("name"))
        faults = {task.name: fault for task in tasks if (fault := find_fault(task)) is not None}
        unread = {queue: pool.name for pool in read_liveness().pools if not pool.workers for queue in pool.queues}
    sentences = [f"{name}: {fault.detail}" for name, fault in faults.items()]
    used = {task.queue or UPKEEP_QUEUE for task in tasks if task.name not in faults}
    return sentences + [
        gettext(
            "No worker consumes the queue %(queue)s, so its tasks wait. Start `manage.py run_worker --pool=%(pool)s`."
        )
        % {"queue": queue, "pool": unread[queue]}
        for queue in sorted(used & unread.keys())
    ]


def _task_fault(name: str) -> str:
    values = {"task": name}
    if name in _NOT_BEATS:
        return gettext("Only the platform sends %(task)s. To run a job, choose its tenant and kind.") % values
    if name not in celery_app().tasks:
        return gettext("No worker has a task named %(task)s. Choose one of the registered tasks.") % values
    if name.startswith(OWN_PREFIX):
        return ""
    if kind := kind_of_task(name):
        return gettext(
            "Workers run %(task)s only as a tenant's job: choose its tenant, and %(kind)s as kind. manage.py"
            " import_periodic_tasks --tenant SLUG makes schedules of such tasks."
        ) % {**values, "kind": kind}
    return (
        gettext(
            "Workers refuse %(task)s: they run jobs and the platform's own tasks. Decorate it with @fair_task and"
            " choose its tenant and kind, or run it in a Celery application of your own."
        )
        % values
    )


def kind_of_task(task_name: str) -> str:
    """Return the kind of the jobs that run the Celery task; empty if there is none."""
    for kind in registry.kinds():
        if getattr(getattr(registry.get(kind), "task", None), "name", None) == task_name:
            return kind
    return ""


def payload_of_call(kind: str, args: str, kwargs: str) -> dict[str, Any]:
    """Return the payload of a fair task's job for arguments in JSON, as beat stores them; empty for another kind.

    Raise OptionInvalidError if the arguments do not fit the task's function.
    """
    call = getattr(registry.get(kind), "call", None)
    try:
        positional, named = json.loads(args or "[]"), json.loads(kwargs or "{}")
        return call.payload_of(positional, named) if call is not None and (positional or named) else {}
    except (TypeError, ValueError) as error:
        raise OptionInvalidError(str(error)) from error


def _upkeep_fault(args: str) -> str:
    known = [task.name for task in upkeep_registry.tasks()]
    try:
        given = json.loads(args or "[]")
    except ValueError:
        given = None
    if isinstance(given, list) and len(given) == 1 and given[0] in known:
        return ""
    return gettext('The arguments must name one upkeep task, such as ["%(name)s"].') % {"name": known[0]}
