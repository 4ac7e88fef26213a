"""System checks of plug-ins."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.checks import check_processors
from scheduling.kit.base import JobContext, TaskProcessor
from tests.processors import added_processor


class BadSchema(TaskProcessor):
    kind = "bad_schema"
    payload_schema = {"type": "no-such-type"}

    def process(self, context: JobContext) -> None:
        return None


def test_installed_kinds_pass() -> None:
    assert check_processors(None) == []


def test_processor_that_cannot_be_imported_is_an_error() -> None:
    with added_processor("no.such.module.Processor"):
        assert [message.id for message in check_processors(None)] == ["scheduling.E001"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no-such-type"},
        {"properties": {"a": {"pattern": "a{99999999999999999999}"}}},
        {"properties": {"a": {"items": {"anyOf": [{"type": "string", "format": "regex"}]}}}},
    ],
)
def test_invalid_payload_schema_is_an_error(schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BadSchema, "payload_schema", schema)
    with added_processor(f"{__name__}.BadSchema"):
        assert [message.id for message in check_processors(None)] == ["scheduling.E002"]
