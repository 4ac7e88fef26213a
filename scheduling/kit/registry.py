"""The registry of job kinds, from the entry points ``jobsplatform.processors`` and from installed apps.

An entry point's name is its kind and its value the class. An installed app lists the dotted paths of its classes in
``processors`` of its AppConfig. Both may name a fair task instead of a class. Nothing is imported before a kind is
looked up, and processors import heavy modules in ``preload`` or ``process``, so a web process that only submits loads
no models.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import iscoroutinefunction
from typing import Literal, get_args
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string

from scheduling.exceptions import KindUnknownError
from scheduling.kit.base import MEMORY_MIB, Json, MemoryClass, ResourceName, TaskProcessor
from tenants.database.platform_settings import platform_settings

logger = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "jobsplatform.processors"


class ProcessorInvalidError(Exception):
    """The error for a plug-in class that cannot be imported, is no TaskProcessor, or has a kind that is taken."""


def get(kind: str) -> type[TaskProcessor]:
    """Return the class of a job kind; raise KindUnknownError for an unknown kind.

    A diagnostic kind is only known while the setting DIAGNOSTIC_KINDS is on.
    """
    processor = _all().get(kind)
    if processor is None or not _is_allowed(processor):
        raise KindUnknownError("There is no job kind %(kind)r.", {"kind": kind})
    return processor


def kinds() -> list[str]:
    """Return the names of all job kinds, sorted; diagnostic ones only if the setting DIAGNOSTIC_KINDS is on."""
    return sorted(kind for kind, processor in _all().items() if _is_allowed(processor))


def is_mergeable(kind: str) -> bool:
    """Return whether small jobs of the kind may be settled together with others; False for an unknown kind."""
    return kind in _mergeable_kinds()


def resource_class(kind: str) -> Literal["cpu", "io"]:
    """Return "io" for a kind whose ``process`` is a coroutine function, otherwise and for an unknown kind "cpu"."""
    return "io" if kind in _asynchronous_kinds() else "cpu"


def travels_alone(kind: str) -> bool:
    """Return whether each job of the kind has a message of its own; True for an asynchronous and an unknown kind."""
    return kind not in _sharing_kinds()


def memory_needs() -> dict[str, int]:
    """Return the memory in MiB of each kind that needs more than the smallest memory class."""
    return {kind: MEMORY_MIB[name] for kind, name in _memory_classes().items() if name != "small"}


def needs(kind: str) -> frozenset[str]:
    """Return the resources that the pool of the kind's queue must offer; none for an unknown kind."""
    return _needs().get(kind, frozenset())


def concurrency_limit(kind: str) -> int:
    """Return how many jobs of the kind with the same concurrency key run at once; 1 for an unknown kind."""
    return concurrency_limits().get(kind, TaskProcessor.concurrency_limit)


@cache
def subject_finder(kind: str) -> Callable[[Sequence[Json]], Sequence[UUID | None]] | None:
    """Return `TaskProcessor.subjects_of` of a kind that overrides it; None for others and for an unknown kind."""
    processor = _all().get(kind)
    if processor is None or not any(
        "subjects_of" in vars(base) for base in processor.__mro__[: -len(TaskProcessor.__mro__)]
    ):
        return None
    return processor.subjects_of


@cache
def concurrency_limits() -> dict[str, int]:
    """Return the concurrency limit of each kind whose limit is not the usual one."""
    try:
        limits = {kind: processor.concurrency_limit for kind, processor in _all().items()}
    except ProcessorInvalidError:
        logger.exception("processors.no_concurrency_limits")
        return {}
    return {kind: limit for kind, limit in limits.items() if limit != TaskProcessor.concurrency_limit}


def timeout_seconds(kind: str) -> float:
    """Return the time limit of an execution of ``kind`` in seconds; the longest of all kinds for an unknown one."""
    timeouts = _timeouts()
    return timeouts.get(kind, max(timeouts.values(), default=TaskProcessor.timeout_seconds))


def is_needed_by_all(kind: str, dependency: str, *, is_shared: bool) -> bool:
    """Return whether every job of the kind needs the dependency, so that none may start while it is down.

    The dependency '' stands for the kind itself: always True.
    """
    return dependency == "" or (dependency, is_shared) in _declared_dependencies().get(kind, frozenset())


def default_queue(kind: str) -> str:
    """Return the default queue of the kind; '' without one, and for an unknown kind."""
    return _default_queues().get(kind, "")


def package_of(kind: str) -> tuple[str, str]:
    """Return name and version of the distribution that provides the kind; two empty texts for a kind of an app."""
    return _packages().get(kind, ("", ""))


def reset() -> None:
    """Clear the caches, so that the next look-up searches again; for tests that add a kind."""
    _all.cache_clear()
    _mergeable_kinds.cache_clear()
    _sharing_kinds.cache_clear()
    _asynchronous_kinds.cache_clear()
    _memory_classes.cache_clear()
    _needs.cache_clear()
    concurrency_limits.cache_clear()
    subject_finder.cache_clear()
    _timeouts.cache_clear()
    _declared_dependencies.cache_clear()
    _default_queues.cache_clear()
    _packages.cache_clear()


def _is_allowed(processor: type[TaskProcessor]) -> bool:
    return not processor.is_diagnostic or platform_settings.DIAGNOSTIC_KINDS


@cache
def _mergeable_kinds() -> frozenset[str]:
    try:
        sharing = _sharing_kinds()
        return frozenset(kind for kind, processor in _all().items() if processor.is_mergeable and kind in sharing)
    except ProcessorInvalidError:
        # A dispatcher runs no processors: a broken one must not stop the dispatch.
        logger.exception("processors.not_merged")
        return frozenset()


@cache
def _sharing_kinds() -> frozenset[str]:
    try:
        waiting = _asynchronous_kinds()  # Coroutines gain nothing by running one after another.
        return frozenset(
            kind for kind, processor in _all().items() if not processor.travels_alone and kind not in waiting
        )
    except ProcessorInvalidError:
        logger.exception("processors.not_listed")
        return frozenset()


@cache
def _asynchronous_kinds() -> frozenset[str]:
    try:
        return frozenset(kind for kind, processor in _all().items() if iscoroutinefunction(processor.process))
    except ProcessorInvalidError:
        logger.exception("processors.not_asynchronous")
        return frozenset()


@cache
def _memory_classes() -> dict[str, MemoryClass]:
    try:
        return {kind: processor.memory_class for kind, processor in _all().items()}
    except ProcessorInvalidError:
        logger.exception("processors.not_classed")
        return {}


@cache
def _needs() -> dict[str, frozenset[str]]:
    try:
        waiting, computing = _asynchronous_kinds(), frozenset({"cpu"})
        return {
            kind: frozenset(processor.needs)
            | (frozenset() if kind in waiting or "gpu" in processor.needs else computing)
            for kind, processor in _all().items()
        }
    except ProcessorInvalidError:
        logger.exception("processors.no_needs")
        return {}


@cache
def _timeouts() -> dict[str, float]:
    try:
        return {kind: processor.timeout_seconds for kind, processor in _all().items()}
    except ProcessorInvalidError:
        logger.exception("processors.no_timeouts")
        return {}


@cache
def _declared_dependencies() -> dict[str, frozenset[tuple[str, bool]]]:
    """Return the declared dependencies by kind.

    A shared one is also listed as the tenant's own: a tenant's own failures with it hold back its own jobs.
    """
    try:
        return {
            kind: frozenset(
                (one.name, is_shared) for one in processor.dependencies for is_shared in {one.is_shared, False}
            )
            for kind, processor in _all().items()
        }
    except ProcessorInvalidError:
        logger.exception("processors.no_dependencies")
        return {}


@cache
def _default_queues() -> dict[str, str]:
    try:
        return {kind: processor.default_queue for kind, processor in _all().items() if processor.default_queue}
    except ProcessorInvalidError:
        logger.exception("processors.no_default_queues")
        return {}


@cache
def _packages() -> dict[str, tuple[str, str]]:
    return {
        _import(_path_of(point)).kind: (point.dist.name, point.dist.version)
        for point in entry_points(group=ENTRY_POINT_GROUP)
        if point.dist is not None
    }


@cache
def _all() -> dict[str, type[TaskProcessor]]:
    found: dict[str, type[TaskProcessor]] = {}
    for path in _paths():
        processor = _import(path)
        taken_by = found.setdefault(processor.kind, processor)
        if taken_by is not processor:
            raise ProcessorInvalidError(f"{path} has the kind {processor.kind!r}, which {taken_by!r} already has.")
    return found


def _paths() -> list[str]:
    """Return the dotted paths of all processor classes, the apps' before the entry points'."""
    in_place = [path for config in apps.get_app_configs() for path in getattr(config, "processors", ())]
    return in_place + [_path_of(point) for point in entry_points(group=ENTRY_POINT_GROUP)]


def _path_of(point: EntryPoint) -> str:
    return point.value.replace(":", ".")


def _import(path: str) -> type[TaskProcessor]:
    try:
        found = import_string(path)
        processor = found if isinstance(found, type) else getattr(found, "kind_class", found)
    except (ImportError, TypeError) as error:
        raise ProcessorInvalidError(f"The processor {path} cannot be imported: {error}") from error
    if not (isinstance(processor, type) and issubclass(processor, TaskProcessor)):
        raise ProcessorInvalidError(f"{path} is not a subclass of TaskProcessor.")
    if not getattr(processor, "kind", ""):
        raise ProcessorInvalidError(f"{path} does not set `kind`.")
    if processor.concurrency_limit < 1:
        raise ProcessorInvalidError(f"{path} has a concurrency_limit below 1: {processor.concurrency_limit}.")
    if unknown := set(processor.needs) - set(get_args(ResourceName.__value__)):
        raise ProcessorInvalidError(f"{path} needs unknown resources: {', '.join(sorted(unknown))}.")
    return processor
