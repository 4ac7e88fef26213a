"""The environment of a run's processes: settings by environment variables, and a temporary folder."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import django


@contextmanager
def run_folder() -> Iterator[Path]:
    """Set Django up for this process and its children; yield a folder for files and logs, removed afterwards.

    Variables that are already set take precedence. SIGTERM unwinds like an exception, so that everything is stopped.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    with tempfile.TemporaryDirectory(prefix="jobsplatform-run-") as name:
        folder = Path(name)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")
        os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
        os.environ.setdefault("FILES_ROOT", str(folder / "files"))
        os.environ.setdefault("LOG_LEVEL", "WARNING")
        django.setup()
        yield folder


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
