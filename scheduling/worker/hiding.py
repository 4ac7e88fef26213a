"""Close the worker's memory and environment in /proc to the other processes of its account.

A parser that was taken over runs under the worker's account: without this it reads the worker's secrets there.
"""

from __future__ import annotations

import os
from typing import Any

from scheduling.sandbox.kernel import set_dumpable
from scheduling.worker.memory import open_peak_file

# The launcher of development servers finds its processes by this variable, which it must be able to read.
_LAUNCHED = "JOBSPLATFORM_SERVERS"


def hide_worker() -> None:
    """Close the parent's; its children begin closed too."""
    set_dumpable(is_dumpable=not _is_hidden())


def hide_child(**_: Any) -> None:
    """Open the file by which a new child measures its memory, which a closed process of a plain account cannot."""
    set_dumpable(is_dumpable=True)
    open_peak_file()
    set_dumpable(is_dumpable=not _is_hidden())


def _is_hidden() -> bool:
    # Root reads what is closed.
    return os.geteuid() == 0 or _LAUNCHED not in os.environ
