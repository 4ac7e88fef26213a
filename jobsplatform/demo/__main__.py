"""Command behind `make demo`: three tenants index documents on one fairly shared pool of real workers.

It needs servers in DATABASE_URL, DATABASE_OWNER_URL and REDIS_URL. On a terminal it runs until Ctrl-C; otherwise, or
with DEMO_EXIT=1, it stops everything at the end. The exit status is 0 only if all checks passed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from jobsplatform.demo.environment import run_folder
from jobsplatform.embedded.master_key import provide_master_key

# A table of eight columns needs more width than a pipe guarantees.
PLAIN_WIDTH = 132
EXIT_FAULT = 1
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run the demonstration; return the exit status."""
    is_terminal = sys.stdout.isatty()
    console = Console(width=None if is_terminal else PLAIN_WIDTH)
    stays_up = is_terminal and os.environ.get("DEMO_EXIT", "") in {"", "0"}
    provide_master_key(Path(__file__).resolve().parent.parent.parent / "var" / "master-key")
    try:
        with run_folder() as folder:
            return _run(console, folder, stays_up=stays_up)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(console: Console, folder: Path, *, stays_up: bool) -> int:
    # After django.setup(), because these modules import models.
    from jobsplatform.demo.client import RefusedError
    from jobsplatform.demo.processes import PlatformFailedError
    from jobsplatform.demo.run import NotDrainedError, run_demo

    try:
        return 0 if run_demo(console, folder, stays_up=stays_up) else EXIT_FAULT
    except (PlatformFailedError, NotDrainedError, RefusedError) as error:
        console.print(f"{type(error).__name__}: {error}", markup=False, highlight=False, soft_wrap=True)
        return EXIT_FAULT


if __name__ == "__main__":
    sys.exit(main())
