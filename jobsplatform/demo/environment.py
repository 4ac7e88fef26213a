"""Environment variables and temporary folder for the processes of the demonstration."""

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
    """Set up Django for this process and its children; yield a folder for files and logs, which is removed afterwards.

    Variables that are already set are kept. SIGTERM raises an exception, so that everything is stopped.
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
