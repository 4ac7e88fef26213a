"""One row on one stack, in this process: `python -m tests.chaos.single_row ROW FOLDER SEED…`.

A row's servers die with the process that started them, so each row has a process.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn


def main(arguments: list[str]) -> int:
    """Copy the blueprint beside the folder, run the row, and write `results.json` into the folder."""
    name, folder, seeds = arguments[0], Path(arguments[1]), [int(seed) for seed in arguments[2:]]
    signal.signal(signal.SIGTERM, exit_on_signal)
    from tests.chaos.servers import Addresses, copy_blueprint

    copy_blueprint(folder.parent / "blueprint", folder)
    addresses = Addresses.choose(folder)
    # The processes log more: their logs are kept.
    os.environ.update(addresses.environment() | {"LOG_LEVEL": "WARNING"})
    import django

    django.setup()
    from tests.chaos.results import RESULTS, write_results
    from tests.chaos.rows import ROWS
    from tests.chaos.running import run_row
    from tests.chaos.stack import Stack

    row = ROWS[name]()
    results = run_row(row, seeds, Stack(addresses, row.shape))
    write_results(results, folder / RESULTS)
    return 1 if any(run.violations for run in results.runs) else 0


def exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    """Raise SystemExit, so that everything is stopped."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
