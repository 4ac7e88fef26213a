"""Repetition of a database operation after its connection was lost."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, InterfaceError, OperationalError

from scheduling.worker import process_state
from scheduling.worker.process_state import retry_on_disconnect


class Operation:
    """Operation that raises the given errors, one per call, and then returns "settled"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "settled"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the list of the seconds waited between attempts."""
    waited: list[float] = []
    monkeypatch.setattr(process_state, "sleep", waited.append)
    return waited


def test_operation_is_repeated_until_the_database_returns(waits: list[float]) -> None:
    operation = Operation(OperationalError("server closed the connection"), InterfaceError("connection is closed"))
    assert retry_on_disconnect(operation, give_up_after_seconds=60) == "settled"
    assert operation.calls == 3
    assert len(waits) == 2


def test_backoff_doubles_up_to_two_seconds(waits: list[float]) -> None:
    retry_on_disconnect(Operation(*[OperationalError("connection refused")] * 7), give_up_after_seconds=60)
    least = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert len(waits) == len(least)
    assert all(low <= wait <= low + 0.1 + 1e-9 for low, wait in zip(least, waits, strict=True))


def test_last_error_is_raised_when_the_time_is_over(waits: list[float]) -> None:
    operation = Operation(OperationalError("connection refused"))
    with pytest.raises(OperationalError, match="connection refused"):
        retry_on_disconnect(operation, give_up_after_seconds=0)
    assert operation.calls == 1
    assert waits == []


def test_error_other_than_an_outage_is_raised_at_once(waits: list[float]) -> None:
    with pytest.raises(IntegrityError):
        retry_on_disconnect(Operation(IntegrityError("duplicate key")), give_up_after_seconds=60)
    assert waits == []
