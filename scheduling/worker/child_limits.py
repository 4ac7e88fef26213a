"""Limits of a worker's children: a control group for each where the host allows it, else limits of the process.

A child has the memory of its pool and a weight by the tier of the job that it runs. The control groups are made below
the worker's own: of version 2 if its owner delegated it and it has no other process, else of version 1. Without them
the kernel limits the data of the process, and its niceness stands for the weight.
"""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from celery.signals import worker_process_init
from django.utils.translation import gettext_noop

from tenants.database.platform_settings import platform_settings
from tenants.models import Tier

logger = logging.getLogger(__name__)

NONE, PROCESS, GROUPS_1, GROUPS_2 = gettext_noop("no limits"), gettext_noop("process limits"), "cgroup v1", "cgroup v2"
_MOUNT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CONTROLLERS = {"cpu", "memory"}
# The weights that the kernel gives to a group without one.
_USUAL_WEIGHT: Final = {GROUPS_1: 1_024, GROUPS_2: 100}
_CHILD = "job-"
# Five more of niceness leave a third of the weight.
_NICE_STEP, _MOST_NICE = 5, 15
_LEAST_NICE = 20


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """The way in which this host limits children: ``mode``, and the folders of memory and processor groups."""

    mode: str = PROCESS
    memory: Path = _MOUNT
    cpu: Path = _MOUNT

    @classmethod
    def find(cls, *, mount: Path = _MOUNT, own: Path = _OWN) -> Self:
        """Return what the host allows to this process, which is moved to a group beside its children's for version 2.

        ``mount`` is where the control groups are mounted, ``own`` the file that names those of this process.
        """
        try:
            paths = _groups_of(own.read_text())
            if (mount / "cgroup.controllers").exists():
                base = mount / paths[""]
                _delegate(base)
                return cls(GROUPS_2, base, base)
            limits = cls(GROUPS_1, mount / "memory" / paths["memory"], mount / "cpu" / paths["cpu"])
            limits._enter(os.getpid(), is_trial=True)
        except (OSError, KeyError, ValueError) as error:
            logger.info("child_limits.without_groups", extra={"cause": str(error)})
            return cls()
        return limits

    def apply(self, memory_mib: int) -> None:
        """Limit the memory of the calling child."""
        if self.mode == PROCESS:
            _limit_data(memory_mib)
            return
        self._remove_left()
        self._enter(os.getpid())
        group, most = self._group(self.memory), str(memory_mib << 20)
        if self.mode == GROUPS_1:
            (group / "memory.limit_in_bytes").write_text(most)
            return
        (group / "memory.max").write_text(most)
        # Hosts without swap have no such file.
        with suppress(OSError):
            (group / "memory.swap.max").write_text("0")

    def set_weight(self, steps: int) -> None:
        """Set the weight of the calling child, ``steps`` tiers below the highest one."""
        if self.mode == PROCESS:
            os.setpriority(os.PRIO_PROCESS, 0, min(_MOST_NICE, _NICE_STEP * steps))
            return
        weight = str(max(1, _USUAL_WEIGHT[self.mode] // (steps + 1)))
        file = "cpu.shares" if self.mode == GROUPS_1 else "cpu.weight"
        (self._group(self.cpu) / file).write_text(weight)

    def _group(self, base: Path) -> Path:
        return base / f"{_CHILD}{os.getpid()}"

    def _enter(self, pid: int, *, is_trial: bool = False) -> None:
        for base in {self.memory, self.cpu}:
            group = self._group(base)
            group.mkdir(exist_ok=True)
            if is_trial:
                group.rmdir()
            else:
                (group / "cgroup.procs").write_text(str(pid))

    def _remove_left(self) -> None:
        """Remove the groups of children that have ended; the kernel refuses that for one with processes."""
        for base in {self.memory, self.cpu}:
            for group in base.glob(f"{_CHILD}*"):
                if not Path("/proc", group.name.removeprefix(_CHILD)).exists():
                    with suppress(OSError):
                        group.rmdir()


# The limits of this child, the tiers from the lowest to the highest, and the steps that its weight has now.
_limits: ChildLimits | None = None
_tiers: Sequence[str] = ()
_steps: int | None = None


def find_limits() -> ChildLimits:
    """Return how this worker limits its children, by the settings and its host."""
    chosen = platform_settings.CHILD_LIMITS
    return ChildLimits.find() if chosen == "auto" else ChildLimits(NONE if chosen == "off" else PROCESS)


def limit_children(limits: ChildLimits, memory_mib: int) -> None:
    """Limit each child that this process forks from now on."""
    if limits.mode == NONE:
        return
    tiers = list(Tier.objects.order_by("rank").values_list("slug", flat=True))

    def limit(**_: Any) -> None:
        limit_this_child(limits, memory_mib, tiers)

    worker_process_init.connect(limit, weak=False)


def limit_this_child(limits: ChildLimits, memory_mib: int, tiers: Sequence[str]) -> None:
    """Limit the calling child from now on; a host that refuses it leaves the child without limits, and logs that."""
    global _limits, _tiers, _steps
    try:
        limits.apply(memory_mib)
    except OSError:
        logger.exception("child_limits.not_applied")
        return
    _limits, _tiers, _steps = limits if _may_change_weight(limits) else None, tiers, None


def serve_tier(tier: str) -> None:
    """Give this child the weight of a tier; those that are unknown to it have that of the highest."""
    global _steps  # noqa: PLW0603 - state of the process
    if _limits is None:
        return
    steps = len(_tiers) - 1 - _tiers.index(tier) if tier in _tiers else 0
    if steps != _steps:
        try:
            _limits.set_weight(steps)
        except OSError:
            logger.exception("child_limits.weight_not_set")
        _steps = steps


def _may_change_weight(limits: ChildLimits) -> bool:
    """Return whether this process may lower its niceness again; without that right all children stay equal."""
    if limits.mode != PROCESS or os.geteuid() == 0:
        return True
    soft, _hard = resource.getrlimit(resource.RLIMIT_NICE)
    return soft == resource.RLIM_INFINITY or soft >= _LEAST_NICE


def _groups_of(text: str) -> dict[str, str]:
    """Return the path of this process's group for each controller; version 2 has the empty name.

    Raise ValueError for a path outside the mounted tree.
    """
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _number, controllers, path = line.split(":", 2)
        if ".." in Path(path).parts:
            raise ValueError(f"The control group {path} is outside the namespace.")
        paths |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    return paths


def _delegate(base: Path) -> None:
    """Let groups below ``base`` have controllers: a group with controllers for others has no process of its own."""
    if not set((base / "cgroup.controllers").read_text().split()) >= _CONTROLLERS:
        raise ValueError(f"{base} has no controllers of processor and memory.")
    own = base / "worker"
    own.mkdir(exist_ok=True)
    (own / "cgroup.procs").write_text(str(os.getpid()))
    try:
        (base / "cgroup.subtree_control").write_text("+cpu +memory")
    except OSError:
        (base / "cgroup.procs").write_text(str(os.getpid()))
        own.rmdir()
        raise


def _limit_data(memory_mib: int) -> None:
    """Limit the private memory of this process to ``memory_mib`` more than it has now."""
    status = Path("/proc/self/status").read_text()
    has_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData:"))
    most = (has_kib << 10) + (memory_mib << 20)
    _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
