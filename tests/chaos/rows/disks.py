"""PostgreSQL with a full disk: a tmpfs for the data or the WAL, which only root can mount."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import psycopg

from tests.chaos.row import Field
from tests.chaos.spans import SpanRow
from tests.chaos.stack import Stack

MIB = 1 << 20
# More than the free space.
_WRITE = "CREATE TABLE chaos_ballast AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 100000) n"


class DiskRow(SpanRow):
    """Row that moves a part of PostgreSQL's data to a tmpfs and fills it."""

    # Folder below the data folder; the rest is not moved.
    part: ClassVar[str]
    spare_mib: ClassVar[int]
    # PostgreSQL uses the small disk from its first start to its last.
    is_shared = False
    _mount: Path | None = None

    @classmethod
    def unfit(cls) -> str:
        if os.getuid() != 0:
            return "it mounts a tmpfs, which needs root"
        return "" if _can_mount() else "it mounts a tmpfs, which is not allowed here"

    def prepare(self, stack: Stack) -> None:
        """Move the part to the tmpfs, and leave a link in its place."""
        servers = stack.servers
        servers.stop_postgres(signal.SIGINT)
        place = stack.folder / "postgres" / "data" / self.part
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) // MIB + self.spare_mib
        self._mount = stack.folder / "small"
        self._mount.mkdir(mode=0o711)
        mount(self._mount, size)
        shutil.move(place, self._mount / place.name)
        place.symlink_to(self._mount / place.name)
        servers.start_postgres()

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        assert self._mount is not None
        ballast = self._mount / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(MIB // 4))
        try:
            _expect_full(field)
            yield
        finally:
            ballast.unlink()
            if not field.stack.servers.is_postgres_running:
                field.stack.servers.start_postgres()

    def tear_down(self) -> None:
        if self._mount is not None:
            subprocess.run(["umount", "--lazy", self._mount], check=False)


def _expect_full(field: Field) -> None:
    """Write until PostgreSQL refuses; the write is rolled back."""
    try:
        field.view.run(_WRITE)
    except psycopg.OperationalError:
        return
    field.violations.append("the disk is not full: the row is inconclusive")


def mount(folder: Path, size_mib: int) -> None:
    """Mount a tmpfs of a size."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=0711", "tmpfs", folder], check=True)


def _can_mount() -> bool:
    with tempfile.TemporaryDirectory() as name:
        try:
            mount(Path(name), 1)
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", name], check=False)
        return True


class DataDiskFull(DiskRow):
    id, fault = "P15", "the disk with PostgreSQL's data is full for 10 s, the WAL has room"
    part, spare_mib = "base", 24
    held_seconds = (12.0, 12.0)


class WalDiskFull(DiskRow):
    id, fault = "P16", "the disk with the WAL is full: PANIC; room is made and PostgreSQL started again after 8 s"
    # At its restart PostgreSQL needs room for everything written since its last checkpoint.
    part, spare_mib = "pg_wal", 160
    bound_seconds = 30.0


ROWS = (DataDiskFull, WalDiskFull)
