"""Assignment of log records to the logs of jobs."""

from __future__ import annotations

import logging
from contextvars import copy_context
from typing import Any, cast

import pytest

from scheduling.execution.logs.job_log import JobLogWriter, capturing
from scheduling.kit.base import TaskProcessor


class Recorder:
    """Writer that records lines in place of a job's log."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, object]] = []

    def add(self, message: object, level: object, fields: object) -> None:
        self.lines.append((message, level))


def recorder() -> Any:
    return cast("JobLogWriter", Recorder())


def kind_of(*namespaces: str) -> type[TaskProcessor]:
    class Kind(TaskProcessor):
        log_namespaces = namespaces

    return Kind


OUTER, INNER = kind_of("outer_of_capture"), kind_of("outer_of_capture.inner")


@pytest.fixture(autouse=True)
def _levels() -> None:
    logging.getLogger("outer_of_capture").setLevel(logging.INFO)


def test_records_in_namespaces_of_a_kind_are_captured_during_its_job() -> None:
    writer = recorder()
    logging.getLogger("outer_of_capture").warning("before")
    with capturing(OUTER, writer):
        logging.getLogger("outer_of_capture").warning("own")
        logging.getLogger("outer_of_capture.below.it").error("below")
        logging.getLogger("outer_of_capture_and_more").error("a stranger")
    logging.getLogger("outer_of_capture").warning("after")
    assert writer.lines == [("own", "warning"), ("below", "error")]


def test_record_in_namespaces_of_two_kinds_is_captured_once() -> None:
    with capturing(INNER, recorder()), capturing(OUTER, recorder()):
        pass
    writer = recorder()
    with capturing(OUTER, writer):
        logging.getLogger("outer_of_capture.inner").info("once")
    assert writer.lines == [("once", "info")]


def test_records_of_the_namespace_of_another_kind_are_not_captured() -> None:
    with capturing(OUTER, recorder()):
        pass
    writer = recorder()
    with capturing(INNER, writer):
        logging.getLogger("outer_of_capture").info("above")
        logging.getLogger("outer_of_capture.inner").info("its own")
    assert writer.lines == [("its own", "info")]


def test_root_namespace_captures_every_logger() -> None:
    writer = recorder()
    with capturing(kind_of(""), writer):
        logging.getLogger("somebody_else").error("heard")
    logging.getLogger("somebody_else").error("not heard")
    assert writer.lines == [("heard", "error")]


def test_context_of_ended_job_does_not_write_to_the_next_log() -> None:
    first, second = recorder(), recorder()
    with capturing(OUTER, first):
        left_behind = copy_context()
    with capturing(OUTER, second):
        left_behind.run(logging.getLogger("outer_of_capture").warning, "late")
        logging.getLogger("outer_of_capture").warning("in time")
    assert second.lines == [("in time", "warning")]
    assert first.lines == [("late", "warning")]
