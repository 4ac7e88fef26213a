"""Log lines contain the ids of their context, and never a secret."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.http import HttpResponse
from django.test import RequestFactory
from structlog.testing import capture_logs

from jobsplatform import middleware
from jobsplatform.logging import (
    CUT,
    MAX_TEXT_CHARACTERS,
    MAX_TRACEBACK_CHARACTERS,
    REDACTED,
    build_formatter,
    redact_secrets,
)
from jobsplatform.middleware import MAX_PATH_CHARACTERS, AccessLogMiddleware


class Lines(logging.Handler):
    """Handler that stores the formatted lines."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    def last(self) -> dict[str, Any]:
        """Return the last line, read back as JSON."""
        line: dict[str, Any] = json.loads(self.texts[-1])
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    handler.setFormatter(build_formatter("json"))
    root = logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)
    structlog.contextvars.clear_contextvars()


def test_line_from_the_standard_library_carries_the_bound_ids(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(job_id="j-1", execution_id="e-1", request_id="r-1"):
        logging.getLogger("somewhere").warning("Began %s", "work")
    line = lines.last()
    assert line["event"] == "Began work"
    assert (line["job_id"], line["execution_id"], line["request_id"]) == ("j-1", "e-1", "r-1")
    assert (line["level"], line["logger"]) == ("warning", "somewhere")


def test_line_from_structlog_carries_its_values_and_the_bound_ids(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(job_id="j-2"):
        structlog.get_logger("elsewhere").warning("job.submitted", kind="noop")
    assert {"job_id": "j-2", "kind": "noop", "event": "job.submitted"}.items() <= lines.last().items()


def test_exception_becomes_fields_of_the_same_line(lines: Lines) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("somewhere").exception("Failed")
    (logged,) = lines.last()["exception"]
    assert (logged["exc_type"], logged["exc_value"]) == ("ValueError", "broken")
    assert "locals" not in logged["frames"][-1]


def test_request_is_logged_without_its_query(lines: Lines) -> None:
    request = RequestFactory().get("/files/download", {"link": "bearer link"})
    logging.getLogger("django.request").warning("Not Found", extra={"request": request})
    assert lines.last()["request"] == "GET /files/download"
    assert "bearer" not in lines.texts[-1]


@pytest.mark.parametrize(
    "values",
    [
        {"password": "hunter2"},
        {"api_key": "hunter2"},
        {"Authorization": "hunter2"},
        {"metrics_token": "hunter2"},
        {"payload": {"anything": "hunter2"}},  # texts of tenants
        {"settings": {"deep": [{"client_secret": "hunter2"}]}},
        {"url": "postgresql://jobs_app:hunter2@127.0.0.1/jobs"},
        {"header": "Api-Key prefix.hunter2"},
        {"header": "authorization: Bearer hunter2"},
    ],
)
def test_secret_is_redacted_by_its_key_and_inside_text(lines: Lines, values: dict[str, Any]) -> None:
    structlog.get_logger("somewhere").warning("event", **values)
    assert REDACTED in lines.texts[-1]
    assert "hunter2" not in lines.texts[-1]


def test_secret_in_a_message_or_traceback_is_redacted(lines: Lines) -> None:
    try:
        raise ConnectionError("redis://:hunter2@127.0.0.1:6379/0 refused")
    except ConnectionError:
        logging.getLogger("somewhere").exception("No broker at %s", "redis://:hunter2@127.0.0.1:6379/0")
    assert "hunter2" not in lines.texts[-1]


def test_ordinary_values_are_not_redacted(lines: Lines) -> None:
    structlog.get_logger("somewhere").warning("event", queue="dataset", count=3, url="https://example.org/a:b@c")
    assert {"queue": "dataset", "count": 3}.items() <= lines.last().items()


def test_receivers_get_the_event_without_secrets(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[dict[str, Any]] = []
    monkeypatch.setattr("jobsplatform.logging.receivers", [lambda event: received.append(dict(event))])
    logging.getLogger("x").warning("lost", extra={"token": "s3cret", "job_id": "j-1"})
    event = received[0]
    assert (event["event"], event["level"], event["token"], event["job_id"]) == ("lost", "warning", REDACTED, "j-1")
    assert "s3cret" not in lines.texts[-1]


def test_console_format_is_one_line_of_text() -> None:
    record = logging.LogRecord("somewhere", logging.INFO, __file__, 1, "Began", None, None)
    text = build_formatter("console").format(record)
    assert "Began" in text
    assert "\n" not in text


def test_long_text_is_truncated_before_redaction(lines: Lines) -> None:
    structlog.get_logger("somewhere").warning("event", path="a" * 100_000, deep=[{"text": "b" * 100_000}])
    line = lines.last()
    assert line["path"] == "a" * MAX_TEXT_CHARACTERS + CUT
    assert line["deep"] == [{"text": "b" * MAX_TEXT_CHARACTERS + CUT}]


def test_truncation_leaves_no_part_of_a_password(lines: Lines) -> None:
    beginning = "x" * (MAX_TEXT_CHARACTERS - 30) + " redis://user:"
    structlog.get_logger("somewhere").warning("event", text=f"{beginning}hunter2-{'z' * 100}@127.0.0.1")
    assert "hunter2" not in lines.texts[-1]
    assert lines.last()["text"].endswith(f"redis://{CUT}")


def test_console_traceback_keeps_beginning_and_end() -> None:
    record = logging.LogRecord("somewhere", logging.ERROR, __file__, 1, "Failed", None, None)
    try:
        raise ValueError("x" * 100_000 + "\nlast line")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = build_formatter("console").format(record)
    assert "Traceback" in text
    assert "last line" in text
    assert len(text) < 2 * MAX_TRACEBACK_CHARACTERS


@pytest.mark.parametrize("place", ["before", "after"])
def test_truncated_traceback_leaves_no_part_of_a_secret(place: str) -> None:
    secret = "Authorization: Api-Key hunter2 redis://user:hunter2@host"
    half = MAX_TRACEBACK_CHARACTERS // 2
    for shift in range(len(secret)):
        if place == "before":
            text = "x" * (half - shift - 1) + f"\n{secret}\n" + "y" * 2 * half
        else:
            text = "y" * 2 * half + f"\n{secret}\n" + "x" * (half - 1 - shift)
        assert "hunter2" not in redact_secrets(None, "", {"exception": text})["exception"]


def test_long_path_is_truncated_in_the_access_log(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    # A logger that has written once keeps its processors.
    monkeypatch.setattr(middleware, "logger", structlog.stdlib.get_logger("jobsplatform.access"))
    with capture_logs() as captured:
        AccessLogMiddleware(lambda _request: HttpResponse())(RequestFactory().get("/" + "a" * 5_000))
    assert [len(line["path"]) for line in captured] == [MAX_PATH_CHARACTERS]
