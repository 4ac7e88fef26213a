"""Ways to lose work without an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from unittest.mock import patch
from uuid import uuid4

from celery import chain, signature
from celery.app.amqp import AMQP

from scheduling.breakers.rules import REFUSED, CircuitName, CircuitPolicy, ExecutionEnd, next_breaker_state
from scheduling.celery.fair_tasks import FairTask, fair_task
from scheduling.dispatch.tick import run_tick
from scheduling.exceptions import KindUnknownError
from scheduling.execution import policy
from scheduling.execution.json_limits import storable_result
from scheduling.fleet.workers import register_worker
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.jobs.waits.reasons import why_waiting
from scheduling.kit import registry
from scheduling.kit.base import PermanentError
from scheduling.models import DeadLetter, Job
from tenants.context import all_tenants, tenant_context
from tests.security.table import Attack
from tests.security.world import World
from workloads.model_endpoints.refusals import EndpointName, error_of


@fair_task(kind="attack_task")
def attack_task(number: int = 0) -> int:
    return number


@fair_task(kind="other_attack_task")
def other_attack_task(number: int = 0) -> int:
    return number


def _sending(send: Callable[[FairTask], object]) -> Callable[[World], str]:
    """Return the attack that calls a fair task through one of Celery's interfaces, and counts published messages."""

    def attack(world: World) -> str:
        sent: list[str] = []
        with patch.object(AMQP, "send_task_message", lambda self, producer, name, message, **rest: sent.append(name)):
            try:
                answer = send(attack_task)
            except Exception as error:  # noqa: BLE001 - the refusal, whatever it is
                return f"{type(error).__name__}, {len(sent)} messages"
        return f"{type(answer).__name__}, {len(sent)} messages"

    return attack


def _chain_by_name(task: FairTask) -> object:
    first, second = (signature(each.task.name, app=each.task.app) for each in (task, other_attack_task))
    return chain(first, second).apply_async()


def _result(value: object) -> Callable[[World], str]:
    def attack(world: World) -> str:
        try:
            return f"stored: {storable_result({'items': [value]}, max_bytes=1_000)}"
        except PermanentError as error:
            return str(error)

    return attack


def _nested_result(value: object) -> Callable[[World], str]:
    """Return the attack that stores a result with paths 800 times as long as its keys."""
    key = "k" * 800
    nested: object = [value] * 60_000
    for _ in range(300):
        nested = {key: nested}

    def attack(world: World) -> str:
        began = time.thread_time()
        try:
            storable_result(nested, max_bytes=1_000_000)
            answer = "stored"
        except PermanentError as error:
            answer = f"{len(str(error))} characters"
        seconds = time.thread_time() - began
        return f"{answer} at once" if seconds < 0.5 else f"{answer} after {seconds:.1f} s"

    return attack


def _error_of_model(status: int, body: dict[str, object]) -> Callable[[World], str]:
    def attack(world: World) -> str:
        return type(error_of(EndpointName("model endpoint", "model"), status, body)).__name__

    return attack


def refusal_of_one_tenant_opens_the_breaker_of_all(world: World) -> str:
    now = datetime.now(UTC)
    ending = ExecutionEnd(world.aaa.pk, uuid4(), "f" * 16, REFUSED, "answered 401", now)
    states = []
    for owner in (world.aaa.pk, None):
        standing = next_breaker_state(
            CircuitName(owner, "workflow_execution", "llm"), None, [ending], CircuitPolicy(10, 60, 60), now
        )
        states.append(standing.state.value if standing else "none")
    return f"own {states[0]}, shared {states[1]}"


def job_of_kind_without_a_worker(world: World) -> str:
    with patch.object(registry, "kinds", lambda: ["sleep"]):
        worker = register_worker(pool_name="default", hostname="attack", pid=1, slots=1)
    job = submit_job(tenant=world.zeta, request=JobRequest(kind="noop")).job
    for _ in range(2):
        run_tick(worker.pool_id)
    with tenant_context(world.zeta):
        waiting = why_waiting(Job.objects.get(pk=job.pk))
        reasons = [reason.code for reason in waiting.reasons] if waiting else []
        return f"{', '.join(reasons)}, {DeadLetter.objects.count()} dead letters"


def job_in_a_worker_without_its_kind(world: World) -> str:
    class Started:
        execution_id, fence, kind = uuid4(), 1, "gone"

    settlement = policy.kind_unknown_of(Started())  # type: ignore[arg-type] # what it reads of a StartedExecution
    return f"{settlement.state}, {settlement.attempt_delta} attempts, in {settlement.due_in_seconds:g} s"


def submission_of_unknown_kind(world: World) -> str:
    try:
        submit_job(tenant=world.zeta, request=JobRequest(kind="gone"))
    except KindUnknownError as error:
        with all_tenants():
            return f"{error.code}, {Job.objects.count()} jobs"
    return "accepted"


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "delay of a fair task without a tenant is sent",
        "task.delay(1)",
        "TenantMissingError, 0 messages",
        _sending(lambda task: task.delay(1)),
    ),
    Attack(
        "apply_async of the Celery task behind a fair task is sent",
        "task.task.apply_async((1,))",
        "TenantMissingError, 0 messages",
        _sending(lambda task: task.task.apply_async((1,))),
    ),
    Attack(
        "fair task is sent by its name",
        "app.send_task(name)",
        "TenantMissingError, 0 messages",
        _sending(lambda task: task.task.app.send_task(task.task.name)),
    ),
    Attack(
        "signature of a fair task is made",
        "task.s(1)",
        "CanvasUnsupportedError, 0 messages",
        _sending(lambda task: task.s(1)),
    ),
    Attack(
        "chain of fair tasks by their names is sent",
        "chain(signature(a), signature(b)).apply_async()",
        "TenantMissingError, 0 messages",
        _sending(_chain_by_name),
    ),
    Attack(
        "job of a kind that no live worker has is handed out",
        "a job of the kind noop, workers that have sleep alone",
        "kind_unknown, 0 dead letters",
        job_of_kind_without_a_worker,
    ),
    Attack(
        "job that reaches a worker without its kind is given up",
        "an execution of the kind gone",
        "scheduled, 0 attempts, in 1 s",
        job_in_a_worker_without_its_kind,
    ),
    Attack(
        "submission of a kind without a schema is accepted",
        "kind gone",
        "kind_unknown, 0 jobs",
        submission_of_unknown_kind,
    ),
    Attack(
        "result with a custom object counts as done",
        "{'items': [object()]}",
        "result.items[0]: object of type object cannot be stored.",
        _result(object()),
    ),
    Attack(
        "result with NaN counts as done",
        "{'items': [nan]}",
        "result.items[0]: the number nan cannot be stored.",
        _result(float("nan")),
    ),
    Attack(
        "result with NUL is stored altered",
        "{'items': ['a\\0b']}",
        "result.items[0]: a text with NUL or a lone surrogate cannot be stored.",
        _result("a\0b"),
    ),
    Attack(
        "deep result takes the square of its size in time",
        "60,000 numbers below 300 keys of 800 characters",
        "stored at once",
        _nested_result(1),
    ),
    Attack(
        "path of a deep result is in the error at its full length",
        "60,000 objects below 300 keys of 800 characters",
        "242 characters at once",
        _nested_result(object()),
    ),
    Attack(
        "refused key of a model endpoint makes a dead letter of each document",
        "401",
        "DependencyRefusedError",
        _error_of_model(401, {"error": {"message": "Incorrect API key"}}),
    ),
    Attack(
        "error body with the status 200 makes a dead letter of each document",
        "200 {'error': {'code': 402}}",
        "DependencyRefusedError",
        _error_of_model(200, {"error": {"code": 402, "message": "Insufficient credits"}}),
    ),
    Attack(
        "refusal of one tenant opens the breaker of all",
        "one 401 at the shared endpoint",
        "own open, shared counting",
        refusal_of_one_tenant_opens_the_breaker_of_all,
    ),
)
