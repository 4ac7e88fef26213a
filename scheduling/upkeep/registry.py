"""Which upkeep there is. An app lists its tasks under the dotted path in ``upkeep_tasks`` of its AppConfig.

A task is one function that takes one small step and says whether there is more; how long it may go on, what it
leaves for the next run and who else may run it at the same time is decided here, once for all.
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
class Budget:
    """The rows and seconds that one step may use; ``cursor`` is where the step before stopped.

    With a ``tenant_id`` the step is about that tenant alone.
    """

    batch_rows: int
    seconds: float
    cursor: Mapping[str, Any] = field(default_factory=dict)
    tenant_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did. ``cursor`` is where the next one begins, empty for the beginning.

    ``findings`` say what is wrong; with any, the run has failed. A `LocalizableText` is shown in the reader's
    language, a plain text as it is unless the catalogue has it.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    has_more: bool = False
    cursor: Mapping[str, Any] = field(default_factory=dict)
    findings: Sequence[LocalizableText | str] = ()


# The part of its time in which a worker verifies: nobody waits for that, and who has a job or a page does not feel it.
VERIFICATION_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class UpkeepTask:
    """Something to be done every ``interval``.

    ``step`` commits what it does, can be repeated without harm, and after a kill goes on by its cursor or by what
    it finds. ``share`` is the part of a run's time in which a worker takes steps; between them it rests.
    ``tenant_permission`` is the right by which a run over one tenant is requested; None: it has none.
    """

    name: str
    title: str
    text: str
    interval: timedelta
    step: Callable[[Budget], Step]
    share: float = 1.0
    tenant_permission: Permission | None = None


class UpkeepInvalidError(Exception):
    """An app's ``upkeep_tasks`` cannot be imported, or two tasks have one name."""


def get(name: str) -> UpkeepTask:
    """The task of this name; UpkeepUnknownError for none."""
    task = _all().get(name)
    if task is None:
        raise UpkeepUnknownError(
            "There is no upkeep task %(name)r; there are: %(known)s.", {"name": name, "known": ", ".join(_all())}
        )
    return task


def tasks() -> list[UpkeepTask]:
    """All tasks, in the order in which the apps list them."""
    return list(_all().values())


def reset() -> None:
    """Forget what was found, so that the next question looks anew; for tests that add a task."""
    _all.cache_clear()


@cache
def _all() -> dict[str, UpkeepTask]:
    found: dict[str, UpkeepTask] = {}
    for config in apps.get_app_configs():
        path = getattr(config, "upkeep_tasks", "")
        for task in _import(path) if path else ():
            if found.setdefault(task.name, task) is not task:
                raise UpkeepInvalidError(f"{path} takes the name {task.name!r}, which another task has already.")
    return found


def _import(path: str) -> Sequence[UpkeepTask]:
    try:
        listed: Sequence[UpkeepTask] = import_string(path.replace(":", "."))
    except ImportError as error:
        raise UpkeepInvalidError(f"The upkeep tasks {path} cannot be imported: {error}") from error
    return listed
