"""System checks of plug-ins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scheduling.checks import check_processors
from scheduling.kit import registry
from scheduling.kit.base import JobContext, TaskProcessor


class BadSchema(TaskProcessor):
    kind = "bad_schema"
    payload_schema = {"type": "no-such-type"}

    def process(self, context: JobContext) -> None:
        return None


@pytest.fixture
def add_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that installs one more processor path for the test."""
    known = registry._paths()

    def add(path: str) -> None:
        monkeypatch.setattr(registry, "_paths", lambda: [*known, path])
        registry.reset()

    yield add
    monkeypatch.undo()
    registry.reset()


def test_installed_kinds_pass() -> None:
    assert check_processors(None) == []


def test_processor_that_cannot_be_imported_is_an_error(add_path: Any) -> None:
    add_path("no.such.module.Processor")
    assert [message.id for message in check_processors(None)] == ["scheduling.E001"]


def test_invalid_payload_schema_is_an_error(add_path: Any) -> None:
    add_path(f"{__name__}.BadSchema")
    assert [message.id for message in check_processors(None)] == ["scheduling.E002"]
