"""A process with a full pipe as standard error continues, and a repeated traceback is written once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from jobsplatform import log_output
from jobsplatform.log_output import DroppingPipe, without_blocking
from jobsplatform.logging import REPEAT_SECONDS, Repeats

LINES = 4_000
CHATTY = f"""
    import logging, os, sys
    from jobsplatform.log_output import print_without_blocking
    from jobsplatform.logging import DroppingHandler
    logging.basicConfig(handlers=[DroppingHandler()], level="INFO", format="%(message)s")
    print_without_blocking()
    for number in range({LINES}):
        logging.info("line %d %s", number, "x" * 100)
        print("printed", number)
    os.write(int(sys.argv[1]), b"done")
    sys.stdin.readline()
    logging.info("last")
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture(autouse=True)
def none_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DroppingPipe, "dropped", 0)
    monkeypatch.setattr(log_output, "PATIENCE_SECONDS", 0.01)


@pytest.mark.process
def test_process_with_unread_output_continues_and_counts_dropped_lines(pipe: tuple[int, int]) -> None:
    finished, finish = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHATTY), str(finish)],
        stdin=subprocess.PIPE,
        stdout=pipe[1],
        stderr=pipe[1],
        pass_fds=[finish],
    ) as process:
        os.close(finish)
        assert process.stdin is not None
        # No byte was read yet: a process that waited for a reader would block here.
        assert os.read(finished, 4) == b"done"
        os.close(finished)
        first = os.read(pipe[0], 1 << 20)
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait() == 0
    rest = os.read(pipe[0], 1 << 20).decode().splitlines()
    kept = first.count(b"\n")
    assert first.startswith(b"line 0 ")
    assert rest[-2:] == ["last", "log.lines_dropped"]
    assert 0 < kept < LINES


def test_line_is_written_whole_while_the_pipe_has_room(pipe: tuple[int, int]) -> None:
    line = "ü" * 10_000 + "\n"
    with os.fdopen(pipe[1], "w", closefd=False) as stream:
        without_blocking(stream).write(line)
    assert os.read(pipe[0], 1 << 16).decode() == line
    assert DroppingPipe.dropped == 0


def test_pipe_that_is_read_again_accepts_lines(pipe: tuple[int, int]) -> None:
    writer = DroppingPipe(pipe[1])
    while not writer.is_stuck:
        writer.write(b"x" * 1_000)
    assert DroppingPipe.dropped == 1
    # The descriptor itself, which others share, still blocks.
    assert os.get_blocking(pipe[1])
    os.read(pipe[0], 1 << 20)
    assert writer.write(b"again") == 5
    assert not writer.is_stuck
    assert os.read(pipe[0], 1 << 20).endswith(b"again")


def test_truncated_line_ends_before_the_next(pipe: tuple[int, int]) -> None:
    writer = DroppingPipe(pipe[1])
    writer.write(b"x" * (1 << 20))
    assert DroppingPipe.dropped == 1
    os.read(pipe[0], 1 << 20)
    writer.write(b"next\n")
    assert os.read(pipe[0], 1 << 20) == b"\nnext\n"


def test_stream_that_is_not_a_pipe_is_unchanged() -> None:
    with Path(os.devnull).open("w") as stream:
        assert without_blocking(stream) is stream


class Clock:
    """Clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def failure(words: str, *, place: int = 0) -> logging.LogRecord:
    """Return a record of an exception from one of two places."""
    try:
        if place:
            raise OSError(words)
        raise OSError(words)
    except OSError:
        return logging.LogRecord("worker", logging.WARNING, "worker.py", 7, "round failed", None, sys.exc_info())


def test_repeated_traceback_is_written_once_and_counted() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    first, other = failure("away"), failure("away", place=1)
    assert repeats.fold(first) == [first]
    assert repeats.fold(other) == [other]
    assert [repeats.fold(failure("away")) for _ in range(5)] == [[]] * 5
    clock.now = REPEAT_SECONDS
    plain = logging.LogRecord("worker", logging.INFO, "worker.py", 9, "back", None, None)
    counted, last = repeats.fold(plain)
    assert last is plain
    assert (counted.getMessage(), counted.exc_info) == ("round failed", None)
    assert (counted.__dict__["repeated"], counted.__dict__["raised"]) == (5, "OSError: away")
    again = failure("away")
    assert repeats.fold(again) == [again]
    assert again.exc_info


def test_line_that_names_an_execution_is_always_written() -> None:
    repeats = Repeats(Clock())
    repeats.fold(failure("first"))
    with structlog.contextvars.bound_contextvars(execution_id="e-2"):
        (short,) = repeats.fold(failure("second"))
    assert (short.exc_info, short.__dict__["raised"]) == (None, "OSError: second")
