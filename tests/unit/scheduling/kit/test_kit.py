"""Public names and signatures of the kit, as promised to third-party packages.

A changed line breaks them and raises the first number of KIT_VERSION, with a note in the change log; an additional line
raises the second.
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from typing import Any

from scheduling.celery import fair_tasks
from scheduling.kit import base, testing

VERSION = (1, 8)
BASE = """
KIT_VERSION
MAX_CHILDREN
MAX_DEPENDENCY_CHARACTERS
MEMORY_MIB
AsyncJobContext(tenant_id, job_id, execution_id, kind, payload, attempt, state, fencing_token, idempotency_key, \
deadline_at, blocking, runtime, settings)
AsyncJobContext.checkpoint(state, effects=)
AsyncJobContext.children()
AsyncJobContext.database()
AsyncJobContext.dependency(dependency)
AsyncJobContext.emit(topic, message, *, key=)
AsyncJobContext.in_settlement(effects)
AsyncJobContext.log(message, *, level=, **fields)
AsyncJobContext.stream(name, text, *, restart=)
AsyncJobContext.attach(name, file, content_type=)
AsyncJobContext.of(blocking, runtime)
AsyncJobContext.report_progress(current, total, message=)
AsyncJobContext.run(function, *args, **kwargs)
AsyncJobContext.setting(key)
AsyncJobContext.should_yield()
AsyncJobContext.check_child(kind, payload=, **options)
AsyncJobContext.submit_child(kind, payload=, **options)
AsyncJobContext.yield_requested()
AsyncJobRuntime.attach(name, file, content_type)
AsyncJobRuntime.database()
AsyncJobRuntime.report_progress(current, total, message)
AsyncJobRuntime.run(function)
AsyncJobRuntime.should_yield()
AsyncJobRuntime.yield_requested()
AsyncTaskProcessor.handle_error(context, error)
AsyncTaskProcessor.process(context)
AwaitChildren(state)
Child(kind, payload, priority, fair_key, tags, concurrency_key)
ChildJob(job_id, kind, state, result, error_type, error_message)
Complete(result)
Dependency(name, is_shared)
DependencyRefusedError(message, *, retry_after_seconds=)
Discard(reason, error)
Effects
Interrupted(cause)
JobContext(tenant_id, job_id, execution_id, kind, payload, attempt, state, fencing_token, idempotency_key, \
deadline_at, runtime, settings)
JobContext.children()
JobContext.checkpoint(state, effects=)
JobContext.dependency(dependency)
JobContext.emit(topic, message, *, key=)
JobContext.in_settlement(effects)
JobContext.log(message, *, level=, **fields)
JobContext.stream(name, text, *, restart=)
JobContext.attach(name, file, content_type=)
JobContext.report_progress(current, total, message=)
JobContext.setting(key)
JobContext.should_yield()
JobContext.check_child(kind, payload=, **options)
JobContext.submit_child(kind, payload=, **options)
JobRuntime.children()
JobRuntime.checkpoint(state, effects)
JobRuntime.enter_dependency(dependency)
JobRuntime.emit(topic, message, key)
JobRuntime.in_settlement(effects)
JobRuntime.leave_dependency(dependency, error)
JobRuntime.log(message, level, fields)
JobRuntime.stream(name, text, *, restart)
JobRuntime.attach(name, file, content_type)
JobRuntime.report_progress(current, total, message)
JobRuntime.should_yield()
JobRuntime.check_child(child)
JobRuntime.submit_child(child)
Json
LogLevel
MemoryClass
Outcome
PermanentError(message, *, code=)
ResourceName
Retry(error, after_seconds)
Snoozed(state, seconds, reason)
Suspended(state, seconds)
TaskProcessor.concurrency_limit
TaskProcessor.default_queue
TaskProcessor.dependencies
TaskProcessor.description
TaskProcessor.handle_error(context, error)
TaskProcessor.has_circuit
TaskProcessor.is_diagnostic
TaskProcessor.is_internal
TaskProcessor.is_mergeable
TaskProcessor.kind
TaskProcessor.log_namespaces
TaskProcessor.max_retries
TaskProcessor.memory_class
TaskProcessor.needs
TaskProcessor.payload_schema
TaskProcessor.preload()
TaskProcessor.process(context)
TaskProcessor.result_kept_seconds
TaskProcessor.result_version
TaskProcessor.retry_delays_seconds
TaskProcessor.secret_fields
TaskProcessor.settings
TaskProcessor.subjects_of(payloads)
TaskProcessor.timeout_seconds
TaskProcessor.title
TaskProcessor.travels_alone
TransientError(message, *, code=, retry_after_seconds=, is_own_timeout=)
Yielded(state)
retry_after_seconds(header, now)
"""
TESTING = """
AsyncRecordingRuntime(recorded)
AsyncRecordingRuntime.attach(name, file, content_type)
AsyncRecordingRuntime.database()
AsyncRecordingRuntime.report_progress(current, total, message)
AsyncRecordingRuntime.run(function)
AsyncRecordingRuntime.should_yield()
AsyncRecordingRuntime.yield_requested()
RecordingRuntime(yields_after, interrupted_after, cause, down, known_children, states, progress, lines, \
in_settlement_effects, entered, submitted, safe_points, streamed, attached, emitted)
RecordingRuntime.children()
RecordingRuntime.checkpoint(state, effects)
RecordingRuntime.enter_dependency(dependency)
RecordingRuntime.emit(topic, message, key)
RecordingRuntime.in_settlement(effects)
RecordingRuntime.leave_dependency(dependency, error)
RecordingRuntime.log(message, level, fields)
RecordingRuntime.stream(name, text, *, restart)
RecordingRuntime.attach(name, file, content_type)
RecordingRuntime.report_progress(current, total, message)
RecordingRuntime.should_yield()
RecordingRuntime.check_child(child)
RecordingRuntime.submit_child(child)
TriedRun(outcome, error, runtime)
make_context(processor, payload, *, state=, attempt=, settings=, deadline_at=, runtime=)
try_processor(processor, payload, **options)
"""
FAIR_TASKS = """
CanvasUnsupportedError
FairTask(task, attributes)
FairTask.apply_async(args=, kwargs=, **options)
FairTask.chunks(*args, **kwargs)
FairTask.delay(*args, **kwargs)
FairTask.map(*args, **kwargs)
FairTask.s(*args, **kwargs)
FairTask.si(*args, **kwargs)
FairTask.signature(*args, **kwargs)
FairTask.starmap(*args, **kwargs)
FairTask.subtask(*args, **kwargs)
TenantMissingError
FairTask.for_tenant(tenant, **options)
FairTask.kind
FairTask.kind_class
FairTaskUnlistedError
SignatureUnfitError
TenantTask(task, tenant, options)
TenantTask.apply_async(args=, kwargs=, *, countdown=, eta=, expires=)
TenantTask.delay(*args, **kwargs)
current_job()
fair_task(*, kind, queue=, title=, **attributes)
"""


def lines_of(module: Any) -> set[str]:
    """Return the promises of a module: a line for each name and for each public attribute of a class."""
    return {line for name in module.__all__ for line in lines_of_name(name, getattr(module, name))}


def lines_of_name(name: str, value: Any) -> list[str]:
    if inspect.isfunction(value):
        return [name + parameters_of(value)]
    if not inspect.isclass(value):
        return [name]
    members = {**getattr(value, "__annotations__", {}), **vars(value)} if not is_dataclass(value) else vars(value)
    own = [member for member in members if not member.startswith("_") and member not in field_names(value)]
    lines = [f"{name}.{member}{parameters_of(inspect.getattr_static(value, member, None))}" for member in sorted(own)]
    return [constructor_of(name, value), *lines] if not own or constructor_of(name, value) != name else lines


def field_names(value: type) -> list[str]:
    return [item.name for item in fields(value)] if is_dataclass(value) else []


def constructor_of(name: str, value: type) -> str:
    if is_dataclass(value):
        return f"{name}({', '.join(field_names(value))})"
    own = None if getattr(value, "_is_protocol", False) else vars(value).get("__init__")
    return name + parameters_of(own) if inspect.isfunction(own) else name


def parameters_of(value: Any) -> str:
    """Return the parameters of a function, marked if they are optional; an empty text for anything else."""
    function = inspect.unwrap(getattr(value, "__func__", value)) if value is not None else None
    if not inspect.isfunction(function):
        return ""
    parts, has_star = [], False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in {"self", "cls"}:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            has_star = True
            parts.append(f"*{parameter.name}")
        elif parameter.kind is parameter.VAR_KEYWORD:
            parts.append(f"**{parameter.name}")
        else:
            if parameter.kind is parameter.KEYWORD_ONLY and not has_star:
                has_star = True
                parts.append("*")
            parts.append(parameter.name + ("" if parameter.default is parameter.empty else "="))
    return f"({', '.join(parts)})"


def test_version_of_the_kit_is_the_listed_one() -> None:
    assert base.KIT_VERSION == VERSION


def test_base_module_has_the_listed_names_and_signatures() -> None:
    assert lines_of(base) == set(BASE.split("\n")) - {""}


def test_testing_module_has_the_listed_names_and_signatures() -> None:
    assert lines_of(testing) == set(TESTING.split("\n")) - {""}


def test_fair_tasks_have_the_listed_names_and_signatures() -> None:
    assert lines_of(fair_tasks) == set(FAIR_TASKS.split("\n")) - {""}


def test_changed_signature_is_found() -> None:
    def log(self: Any, text: str, *, level: str = "info") -> None: ...

    assert parameters_of(base.JobContext.log) == "(message, *, level=, **fields)"
    assert parameters_of(log) == "(text, *, level=)"
