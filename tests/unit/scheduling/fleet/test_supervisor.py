"""Supervision of real processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scheduling.fleet.supervisor import Service, supervise

pytestmark = pytest.mark.process

PATIENCE_SECONDS = 30.0
# Records its start and its graceful end in a file, and otherwise waits.
SCRIPT = """
import os, signal, sys
def note(word):
    with open(sys.argv[1], "a") as file:
        file.write(f"{word} {os.getpid()}\\n")
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started")
while True:
    signal.pause()
"""


def service(notes: Path, script: str = SCRIPT) -> Service:
    return Service("noted", [sys.executable, "-c", script, str(notes)])


def words(notes: Path, word: str) -> list[int]:
    """Return the process ids that recorded ``word``, in order."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [int(line.split()[1]) for line in lines if line.startswith(word)]


def until(question: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not question():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def run_while(services: list[Service], story: Callable[[], None]) -> None:
    """Supervise ``services`` in this thread while ``story`` runs in another; raise its failure."""
    stopped = threading.Event()
    failures: list[BaseException] = []

    def tell() -> None:
        try:
            story()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)
        finally:
            stopped.set()

    teller = threading.Thread(target=tell)
    teller.start()
    supervise(services, stopped)
    teller.join()
    if failures:
        raise failures[0]


def test_process_that_dies_is_restarted(tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    def story() -> None:
        until(lambda: words(notes, "started"))
        os.kill(words(notes, "started")[0], signal.SIGKILL)
        until(lambda: len(words(notes, "started")) == 2)

    run_while([service(notes)], story)


def test_all_processes_are_stopped_and_awaited(tmp_path: Path) -> None:
    notes = [tmp_path / "first", tmp_path / "second"]
    run_while([service(path) for path in notes], lambda: until(lambda: all(words(path, "started") for path in notes)))
    for path in notes:
        assert words(path, "stopped") == words(path, "started")


def test_process_that_fails_at_once_is_restarted_with_backoff(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notes, other = tmp_path / "notes", tmp_path / "other"
    failing = SCRIPT.replace("while True:", "sys.exit(3)\nwhile True:")

    def story() -> None:
        until(lambda: len(words(notes, "started")) == 3)
        assert len(words(other, "started")) == 1

    run_while([service(notes, failing), service(other)], story)
    deaths = [record for record in caplog.records if record.message == "platform.service_died"]
    assert [record.restart_in_seconds for record in deaths][:2] == [0.5, 1.0]  # type: ignore[attr-defined]
    assert {record.status for record in deaths} == {3}  # type: ignore[attr-defined]
