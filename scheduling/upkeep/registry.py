"""Registry of upkeep tasks. An app lists its tasks under the dotted path in ``upkeep_tasks`` of its AppConfig.

A task is a function that runs one small step and returns whether there is more to do. A run (`scheduling.upkeep.runs`)
calls it until the time is up, stores its cursor for the next run, and excludes other processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.utils.module_loading import import_string

from scheduling.exceptions import UpkeepUnknownError
from tenants.access.permissions import Permission
from tenants.translation import LocalizableText


@dataclass(frozen=True, slots=True)
class UpkeepBudget:
    """What one step may use: rows and seconds. ``cursor`` is where the previous step stopped.

    With a ``tenant_id`` the step must cover only that tenant.
    """

    batch_rows: int
    seconds: float
    cursor: Mapping[str, Any] = field(default_factory=dict)
    tenant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class UpkeepStep:
    """Result of one step. The next one begins at ``cursor``; an empty cursor is the beginning.

    ``findings`` describe faults; a run with findings has failed. A `LocalizableText` is shown in the reader's language,
    a plain text is translated only if the message catalogue contains it.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    has_more: bool = False
    cursor: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[LocalizableText | str] = ()


# Part of a worker's time for verification, which is not urgent: jobs and pages are not slowed down.
VERIFICATION_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class UpkeepTask:
    """Maintenance task to run every ``interval``.

    ``step`` commits its work and can be repeated without harm; after a crash it continues from its cursor or from the
    rows that it finds. ``share`` is the fraction of a run's time in which a worker runs steps; it pauses between them.
    ``tenant_permission`` is the permission to request a run over one tenant, None if such runs do not exist.
    """

    name: str
    title: str
    text: str
    interval: timedelta
    step: Callable[[UpkeepBudget], UpkeepStep]
    share: float = 1.0
    tenant_permission: Permission | None = None


class UpkeepInvalidError(Exception):
    """The registered tasks are invalid: ``upkeep_tasks`` of an app cannot be imported, or two tasks share a name."""


def get(name: str) -> UpkeepTask:
    """Return the task of this name; raise UpkeepUnknownError if there is none."""
    task = _all().get(name)
    if task is None:
        raise UpkeepUnknownError(
            "There is no upkeep task %(name)r; there are: %(known)s.", {"name": name, "known": ", ".join(_all())}
        )
    return task


def tasks() -> list[UpkeepTask]:
    """Return all upkeep tasks in the order in which the apps list them."""
    return list(_all().values())


def reset() -> None:
    """Clear the cached list of tasks, for tests that add one."""
    _all.cache_clear()


@cache
def _all() -> dict[str, UpkeepTask]:
    found: dict[str, UpkeepTask] = {}
    for config in apps.get_app_configs():
        path = getattr(config, "upkeep_tasks", "")
        for task in _import(path) if path else ():
            if found.setdefault(task.name, task) is not task:
                raise UpkeepInvalidError(f"{path} has the name {task.name!r}, which another task already has.")
    return found


def _import(path: str) -> Sequence[UpkeepTask]:
    try:
        listed: Sequence[UpkeepTask] = import_string(path.replace(":", "."))
    except ImportError as error:
        raise UpkeepInvalidError(f"The upkeep tasks {path} cannot be imported: {error}") from error
    return listed
