"""Limits of children: the choice of the way, and what is written to control groups."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scheduling.worker import child_limits
from scheduling.worker.child_limits import GROUPS_1, GROUPS_2, PROCESS, ChildLimits, limit_this_child, serve_tier

TIERS = ["sandbox", "team", "professional"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    mount = tmp_path / "cgroup"
    mount.mkdir()
    return mount


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"_limits": None, "_tiers": (), "_steps": None}.items():
        monkeypatch.setattr(child_limits, name, value)


def unified(mount: Path, own: Path, controllers: str = "cpuset cpu io memory pids") -> Path:
    base = mount / "system.slice" / "worker.service"
    base.mkdir(parents=True)
    for folder in (mount, base):
        (folder / "cgroup.controllers").write_text(controllers)
    own.write_text("0::/system.slice/worker.service\n")
    return base


def version_1(mount: Path, own: Path) -> tuple[Path, Path]:
    memory, cpu = mount / "memory" / "jobs", mount / "cpu"
    memory.mkdir(parents=True)
    cpu.mkdir()
    own.write_text("9:name=systemd:/\n4:memory:/jobs\n1:cpu,cpuacct:/\n0::/\n")
    return memory, cpu


def child_of(base: Path) -> Path:
    return base / f"job-{os.getpid()}"


def test_version_2_limits_memory_and_weighs_by_tier(mount: Path, own: Path) -> None:
    base = unified(mount, own)
    limits = ChildLimits.find(mount=mount, own=own)
    assert limits.mode == GROUPS_2
    assert (base / "worker" / "cgroup.procs").read_text() == str(os.getpid())
    assert (base / "cgroup.subtree_control").read_text() == "+cpu +memory"
    limit_this_child(limits, 256, TIERS)
    child = child_of(base)
    assert (child / "cgroup.procs").read_text() == str(os.getpid())
    assert (child / "memory.max").read_text() == str(256 << 20)
    weights = []
    for tier in (*TIERS, "unknown"):
        serve_tier(tier)
        weights.append(int((child / "cpu.weight").read_text()))
    assert weights == [33, 50, 100, 100]


def test_version_1_limits_memory_and_weighs_by_tier(mount: Path, own: Path) -> None:
    memory, cpu = version_1(mount, own)
    limits = ChildLimits.find(mount=mount, own=own)
    assert limits.mode == GROUPS_1
    assert list(memory.iterdir()) == list(cpu.iterdir()) == []
    limit_this_child(limits, 512, TIERS)
    serve_tier("team")
    assert (child_of(memory) / "memory.limit_in_bytes").read_text() == str(512 << 20)
    assert (child_of(cpu) / "cpu.shares").read_text() == "512"


def test_groups_of_ended_children_are_removed(mount: Path, own: Path) -> None:
    memory, cpu = version_1(mount, own)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for base in (memory, cpu):
        (base / f"job-{ended.pid}").mkdir()
        (base / "job-1").mkdir()
    limit_this_child(ChildLimits.find(mount=mount, own=own), 512, TIERS)
    for base in (memory, cpu):
        assert {group.name for group in base.iterdir()} == {"job-1", f"job-{os.getpid()}"}


@pytest.mark.parametrize("text", ["", "nonsense\n", "0::/../elsewhere\n", "0::/absent\n", "4:memory:/absent\n"])
def test_host_without_groups_has_limits_of_the_process(mount: Path, own: Path, text: str) -> None:
    own.write_text(text)
    assert ChildLimits.find(mount=mount, own=own).mode == PROCESS


def test_version_2_without_controllers_has_limits_of_the_process(mount: Path, own: Path) -> None:
    base = unified(mount, own, controllers="pids")
    assert ChildLimits.find(mount=mount, own=own).mode == PROCESS
    assert not (base / "worker").exists()


def test_version_2_with_other_processes_has_limits_of_the_process(
    mount: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, write = unified(mount, own), Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.name == "cgroup.subtree_control":
            raise OSError(16, "Device or resource busy")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    monkeypatch.setattr(Path, "rmdir", lambda path: None)
    assert ChildLimits.find(mount=mount, own=own).mode == PROCESS
    assert (base / "cgroup.procs").read_text() == str(os.getpid())


def test_refused_limit_leaves_the_child_without(mount: Path, own: Path) -> None:
    memory, _ = version_1(mount, own)
    limits = ChildLimits.find(mount=mount, own=own)
    memory.rmdir()
    limit_this_child(limits, 512, TIERS)
    serve_tier("team")


SCRIPT = """
import resource, sys
from scheduling.worker.child_limits import _limit_data
_limit_data(64)
held = bytearray(b"x") * (32 << 20)
try:
    more = bytearray(b"x") * (64 << 20)
except MemoryError:
    sys.exit(42)
"""


def test_process_limits_refuse_more_than_the_memory() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "jobsplatform.settings"}
    script = "import django; django.setup()\n" + SCRIPT
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert ended.returncode == 42


IN_GROUP = """
import os, sys
from pathlib import Path
from scheduling.worker.child_limits import GROUPS_1, PROCESS, ChildLimits
limits = ChildLimits.find()
# Version 1 limits no swap, to which the kernel could move the memory instead.
has_swap = len(Path("/proc/swaps").read_text().splitlines()) > 1
if limits.mode == PROCESS or (limits.mode == GROUPS_1 and has_swap):
    sys.exit(43)
limits.apply(128)
limits.set_weight(2)
if f"job-{os.getpid()}" not in Path("/proc/self/cgroup").read_text():
    sys.exit(44)
held = bytearray(b"x") * (256 << 20)
"""


def test_group_of_this_host_ends_a_child_that_takes_more_memory() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "jobsplatform.settings"}
    script = "import django; django.setup()\n" + IN_GROUP
    ended = subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    if ended.returncode == 43:
        pytest.skip("This host allows no control groups, or has swap beside those of version 1.")
    assert ended.returncode == -signal.SIGKILL


def test_process_without_the_right_to_lower_niceness_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    monkeypatch.setattr(ChildLimits, "apply", lambda self, memory_mib: None)
    monkeypatch.setattr(os, "setpriority", lambda *values: pytest.fail("set"))
    limit_this_child(ChildLimits(), 512, TIERS)
    serve_tier("sandbox")


def test_process_limits_weigh_by_niceness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ChildLimits, "apply", lambda self, memory_mib: None)
    given: list[int] = []
    monkeypatch.setattr(os, "setpriority", lambda which, who, value: given.append(value))
    limit_this_child(ChildLimits(), 512, TIERS)
    for tier in ("sandbox", "sandbox", "team", "professional"):
        serve_tier(tier)
    assert given == [10, 5, 0]
