"""Python processes that are started with nothing of the parent's: no environment, no site hooks, no working folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_PROBE_SECONDS = 30.0


def start_isolated(
    module: str, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a module of this project with a pipe as its standard output and no standard error."""
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        # No bytecode is written; no module is looked for in the working folder; no hook of an installed package runs.
        [sys.executable, "-B", "-P", "-S", "-m", module, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        # Errors are reported on standard output; native libraries' chatter could only fill a pipe.
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Where modules are, and one order of hashes in every run. No other variable of the parent.
        env={"PYTHONPATH": os.pathsep.join([str(_IMPORT_ROOT), *filter(None, sys.path)]), "PYTHONHASHSEED": "0"},
    )


def probe_sandbox() -> dict[str, Any]:
    """Return the layers that this machine's kernel offers and the protections that a test process proved.

    Without a kernel that has any, both are empty.
    """
    process = start_isolated("scheduling.sandbox.layers")
    try:
        answer, _ = process.communicate(timeout=_PROBE_SECONDS)
        layers, protections = json.loads(answer)
    except (subprocess.TimeoutExpired, ValueError):
        process.kill()
        process.wait()
        layers, protections = [], []
    return {"layers": layers, "protections": protections}
