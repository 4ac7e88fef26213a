"""The watchdog ends a process whose loop has stopped, and no other."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from scheduling.worker import watchdog as module
from scheduling.worker.watchdog import (
    EXIT_STATUS,
    LOOK_SECONDS,
    HeartbeatFile,
    Watchdog,
    WatchedLoop,
    read_heartbeat_age,
)
from tests.platform_settings import ChangePlatformSettings

LIMIT = 30.0
PATIENCE_SECONDS = 60.0


class World:
    """Watchdog without a thread, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module.threading.Thread, "start", lambda _: None)
        self.now = 1_000.0
        self.watchdog = Watchdog()

    def look_for(self, seconds: float, *turning: WatchedLoop) -> str:
        """Check for so many seconds, while some loops turn; return why the process should end."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            for loop in turning:
                loop.turn()
            if reason := self.watchdog.look(self.now):
                return reason
        return ""


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings) -> World:
    change_platform_settings(WATCHDOG_SECONDS=LIMIT)
    return World(monkeypatch)


def test_loop_that_turns_is_never_late(world: World) -> None:
    assert world.look_for(10 * LIMIT, world.watchdog.add("dispatcher")) == ""


def test_stopped_loop_is_late_after_the_limit(world: World) -> None:
    loop = world.watchdog.add("dispatcher")
    assert world.look_for(60.0, loop) == ""
    assert world.look_for(LIMIT) == ""
    assert world.look_for(2 * LOOK_SECONDS).startswith("dispatcher has stalled")


def test_turn_restarts_the_whole_limit(world: World) -> None:
    loop = world.watchdog.add("dispatcher")
    assert world.look_for(LIMIT) == ""
    loop.turn()
    assert world.look_for(LIMIT) == ""


def test_time_of_suspension_is_not_counted(world: World) -> None:
    world.watchdog.add("dispatcher")
    assert world.look_for(LIMIT / 2) == ""
    world.now += 7_200.0
    assert world.look_for(LIMIT / 2 - 2.0) == ""
    assert world.look_for(LIMIT) != ""


def test_one_stopped_loop_of_several_is_late(world: World) -> None:
    turning = world.watchdog.add("dispatcher")
    world.watchdog.add("bulk operations", patience=4.0)
    assert world.look_for(4 * LIMIT, turning) == ""
    assert world.look_for(LIMIT, turning).startswith("bulk operations")


def test_loop_that_has_ended_is_not_watched(world: World) -> None:
    world.watchdog.remove(world.watchdog.add("Feed"))
    assert world.look_for(10 * LIMIT) == ""


HANG = """
import logging, signal, subprocess, sys, threading, time
import django
django.setup()
from scheduling.worker.watchdog import Watchdog
child = subprocess.Popen(["sleep", "600"])
print(child.pid, flush=True)
loop = Watchdog("dispatcher").add("dispatcher")
if "with log" in sys.argv:
    for handler in logging.getLogger().handlers:
        handler.acquire()
loop.turn()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
while True:
    time.sleep(600)
"""


@pytest.mark.process
@pytest.mark.parametrize("hang", ["alone", "with log"])
def test_hanging_process_exits_with_its_children_and_logs_the_reason(hang: str, tmp_path: Path) -> None:
    environment = os.environ | {"WATCHDOG_SECONDS": "1", "HEARTBEAT_DIRECTORY": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", HANG, hang], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == EXIT_STATUS
    assert "watchdog: dispatcher has stalled for" in errors
    assert ("watchdog.exit" in errors) == (hang == "alone")
    assert is_gone(child)


def is_gone(pid: int) -> bool:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        status = Path(f"/proc/{pid}/stat")
        try:
            if status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return False


@pytest.fixture
def directory(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> Path:
    change_platform_settings(HEARTBEAT_DIRECTORY=str(tmp_path / "heartbeats"))
    return tmp_path / "heartbeats"


def test_probe_reads_the_youngest_heartbeat_of_a_role(directory: Path) -> None:
    file = HeartbeatFile("dispatcher")
    file.write(time.monotonic() - 60.0)
    with pytest.raises(CommandError, match="was 60 s ago"):
        call_command("check_process", "dispatcher")
    # As written just before the probe reads it, rounded up.
    (directory / "dispatcher.1").write_text(f"{time.monotonic() + 0.0004:.3f}\n")
    out = StringIO()
    call_command("check_process", "dispatcher", "--json", stdout=out)
    facts = json.loads(out.getvalue())
    assert facts["role"] == "dispatcher"
    assert facts["age_seconds"] < 60.0
    with pytest.raises(CommandError, match="No worker"):
        call_command("check_process", "worker")


def test_each_heartbeat_replaces_the_previous(directory: Path) -> None:
    file = HeartbeatFile("beat")
    for at in (123_456.789, 7.5):
        file.write(at)
        assert (directory / f"beat.{os.getpid()}").read_text().split() == [f"{at:.3f}"]


def test_heartbeat_of_a_process_that_ended_is_removed(directory: Path) -> None:
    file = HeartbeatFile("beat")
    file.write(time.monotonic())
    file.remove()
    assert list(directory.iterdir()) == []


def test_heartbeat_from_before_a_reboot_is_ignored(directory: Path) -> None:
    directory.mkdir()
    (directory / "beat.1").write_text(f"{time.monotonic() + 1_000:.3f}\n")
    assert read_heartbeat_age("beat") is None
    HeartbeatFile("beat").write(time.monotonic())
    assert [path.name for path in directory.iterdir()] == [f"beat.{os.getpid()}"]


def test_heartbeat_written_during_the_probe_counts(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    living = HeartbeatFile("worker")
    living.write(time.monotonic())
    file = directory / f"worker.{os.getpid()}"
    inode = file.stat().st_ino
    read_text = Path.read_text

    def read_after_next_heartbeat(path: Path) -> str:
        began = time.monotonic()
        while time.monotonic() < began + 0.01:
            pass
        living.write(time.monotonic())
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", read_after_next_heartbeat)
    assert read_heartbeat_age("worker") is not None
    HeartbeatFile("worker").write(time.monotonic())
    assert file.stat().st_ino == inode


def test_empty_heartbeat_file_is_kept(directory: Path) -> None:
    directory.mkdir()
    (directory / "worker.1").touch()
    assert read_heartbeat_age("worker") is None
    HeartbeatFile("worker").write(time.monotonic())
    assert (directory / "worker.1").exists()


def test_file_removed_during_the_probe_is_ignored(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    HeartbeatFile("worker").write(time.monotonic())
    glob = Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [*glob(path, pattern), path / "worker.gone"])
    assert read_heartbeat_age("worker") is not None


def test_directory_that_cannot_be_written_is_logged_once(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory.write_text("a file")
    file = HeartbeatFile("beat")
    with caplog.at_level(logging.WARNING):
        file.write(1.0)
        file.write(2.0)
    assert [record.message for record in caplog.records] == ["heartbeat_file.not_written"]


@pytest.mark.process
def test_probe_needs_no_database(directory: Path) -> None:
    HeartbeatFile("worker").write(time.monotonic())
    environment = os.environ | {
        "HEARTBEAT_DIRECTORY": str(directory),
        "DATABASE_URL": "postgres://unused@127.0.0.1:9/none",
        "LEASE_SECONDS": "3600",
    }
    probed = subprocess.run(
        [sys.executable, "manage.py", "check_process", "worker"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert probed.returncode == 0, probed.stderr
