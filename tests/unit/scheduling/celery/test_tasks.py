"""Messages of tasks: hints, submissions and names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from celery import current_app
from celery.app.defaults import NAMESPACES, flatten
from django.conf import settings

from scheduling.celery.tasks import read_hint
from scheduling.conf import MAX_MESSAGE_JOBS
from scheduling.exceptions import OptionInvalidError
from scheduling.schedules.beat_submissions import read_request

ID, TOKEN = "01920000-0000-7000-8000-000000000001", "8ab3c1d6-0c5c-4f0e-9a39-3f3c4f3b6f10"


def test_hint_contains_executions_and_their_token() -> None:
    assert read_hint(([ID], TOKEN), {}) == ([UUID(ID)], UUID(TOKEN))


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (([ID],), {}),
        (([ID], TOKEN, "more"), {}),
        (([ID], TOKEN), {"tenant": "globex"}),
        (([], TOKEN), {}),
        (([ID] * (MAX_MESSAGE_JOBS + 1), TOKEN), {}),
        ((ID, TOKEN), {}),
        (([None], TOKEN), {}),
        (([[ID]], TOKEN), {}),
        (([ID, "x"], TOKEN), {}),
        (([ID], 7), {}),
        (([ID], ""), {}),
        (({"id": ID}, TOKEN), {}),
        (([ID + "\0"], TOKEN), {}),
    ],
)
def test_other_messages_are_not_read_as_hints(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    assert read_hint(args, kwargs) is None


def test_tasks_are_registered_by_explicit_names() -> None:
    assert {"scheduling.execute", "scheduling.submit", "scheduling.maintain_partitions"} <= set(current_app.tasks)


def test_submission_of_beat_reads_times_with_their_zone() -> None:
    request = read_request("noop", {}, {"run_at": "2026-12-01T08:00:00+01:00", "priority": 2})
    assert request.run_at == datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert request.priority == 2


@pytest.mark.parametrize(
    "options",
    [
        {"run_at": "tomorrow"},
        {"run_at": 7},
        {"colour": "red"},
        {"concurrency_key": 7},
        {"queue": ["a"]},
        {"idempotency_key": 7},
        {"priority": "high"},
        {"max_retries": [1]},
        {"tags": 7},
        {"tags": "red"},
        {"tags": [["red"]]},
    ],
)
def test_submission_of_beat_refuses_unknown_options(options: dict[str, Any]) -> None:
    with pytest.raises(OptionInvalidError):
        read_request("noop", {}, options)


def test_every_celery_setting_exists_in_celery() -> None:
    # Celery accepts any name silently, so a misspelt one would have no effect.
    known = {name.upper() for name, _ in flatten(NAMESPACES)}
    ours = {name.removeprefix("CELERY_") for name in dir(settings) if name.startswith("CELERY_")}
    assert ours <= known, ours - known
