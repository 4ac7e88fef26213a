"""Conversion of values of engines to storable ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from workloads.workflows.records.records import RecordState, RunRecord
from workloads.workflows.records.rows import MAX_ERROR_MESSAGE, run_row, storable


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"a": "x\0y"}, {"a": "x\ufffdy"}),  # PostgreSQL stores no NUL
        ({"a\0": 1}, {"a\ufffd": 1}),
        (["\ud800"], ["?"]),  # half a surrogate pair is not text
        ((1, 2), [1, 2]),
        ({"inf": float("inf"), "nan": float("nan"), "pi": 3.14}, {"inf": None, "nan": None, "pi": 3.14}),
        ({1: True}, {"1": True}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),  # not JSON: as text
        (None, None),
    ],
)
def test_values_become_storable_json(given: object, stored: object) -> None:
    assert storable(given) == stored


def record(**said: object) -> RunRecord:
    return RunRecord(
        run_id=UUID(int=1),
        tenant_id=UUID(int=2),
        workflow_id=UUID(int=3),
        workflow_version=1,
        job_id=UUID(int=4),
        version=7,
        state=RecordState.FAILED,
        **said,  # type: ignore[arg-type]
    )


def test_times_of_any_zone_are_comparable_as_text() -> None:
    berlin = timezone(timedelta(hours=1))
    row = run_row(
        record(
            started_at=datetime(2026, 1, 1, 1, 0, tzinfo=berlin),
            ended_at=datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
        )
    )

    assert row["started_at"] == "2026-01-01T00:00:00.000000+00:00"
    assert row["started_at"] < row["ended_at"]


def test_long_errors_are_truncated() -> None:
    assert len(run_row(record(error_message="x" * 5_000))["error_message"]) == MAX_ERROR_MESSAGE


def test_empty_value_is_stored_and_none_is_not() -> None:
    row = run_row(record(inputs={}))

    assert (row["inputs"], row["inputs_version"]) == ({}, 7)
    assert (row["outputs"], row["outputs_version"]) == (None, 0)
