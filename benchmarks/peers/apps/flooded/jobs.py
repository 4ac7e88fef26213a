"""What the jobs do, the same for every peer: they write down that they ran, in a file that all processes append to."""

from __future__ import annotations

import os
import time

BULK_SECONDS = 0.015
_record = os.open(os.environ["PEER_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def run_bulk() -> None:
    """A job of the tenant that floods."""
    time.sleep(BULK_SECONDS)
    write_bulk()


def write_bulk() -> None:
    """Say that such a job has ended."""
    _write(f"bulk {time.time()}")


def run_quick(submitted_at: float) -> None:
    """A job of a quiet tenant: it begins, and that is all."""
    now = time.time()
    _write(f"quick {now} {now - submitted_at}")


def _write(line: str) -> None:
    os.write(_record, f"{line}\n".encode())
