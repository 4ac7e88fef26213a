"""Tasks that a test adds to the platform's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from scheduling.upkeep import registry, tasks
from scheduling.upkeep.registry import UpkeepBudget, UpkeepStep, UpkeepTask
from tenants.access.permissions import Permission

Plant = Callable[..., UpkeepTask]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """Return a function that registers one more task, named `planted`."""

    def register(
        step: Callable[[UpkeepBudget], UpkeepStep], *, share: float = 1.0, tenant_permission: Permission | None = None
    ) -> UpkeepTask:
        words = ("planted", "Planted", "Does what the test says.")
        task = UpkeepTask(*words, timedelta(hours=1), step, share=share, tenant_permission=tenant_permission)
        others = [other for other in tasks.TASKS if other.name != task.name]
        monkeypatch.setattr(tasks, "TASKS", (*others, task))
        registry.reset()
        return task

    yield register
    monkeypatch.undo()
    registry.reset()
