"""Start of Python processes that inherit nothing from the parent: no environment, site hooks or working folder."""

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
    """Start a module of this project as a process; its standard output is a pipe, its standard error is discarded."""
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        # Write no bytecode, import nothing from the working folder, run no hooks of installed packages.
        [sys.executable, "-B", "-P", "-S", "-m", module, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        # Errors are reported on standard output; messages of native libraries could only fill a pipe.
        stderr=subprocess.DEVNULL,
        cwd="/",
        # The module path, and a fixed hash seed. No other variable of the parent.
        env={"PYTHONPATH": os.pathsep.join([str(_IMPORT_ROOT), *filter(None, sys.path)]), "PYTHONHASHSEED": "0"},
    )


def probe_sandbox() -> dict[str, Any]:
    """Return the sandbox layers of this machine's kernel, and the protections that a test process has verified.

    Both lists are empty if the kernel has none, or if the test process fails.
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
