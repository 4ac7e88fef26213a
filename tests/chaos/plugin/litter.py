"""Kind whose jobs leave processes behind, and take descriptors without closing them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial

from scheduling.kit.base import JobContext, Json, TaskProcessor
from tests.chaos.plugin.processor import write_effect

# Longer than any test.
DAEMON_SECONDS = "86399"
DAEMON = "daemon"
_kept: list[int] = []


class LitterProcessor(TaskProcessor):
    """Leaves three daemons: a child, one in its own session, and an orphaned copy of this process.

    Its result lists them, or that of its second execution if the first ``crashes``. ``is_deaf``: the second daemon
    ignores SIGTERM. ``reports``: an effect names each of them. ``takes_descriptors``: it opens and keeps all
    descriptors.
    """

    kind = "chaos_litter"
    title = "Leave litter"
    has_circuit = False
    retry_delays_seconds = (0.5,)
    payload_schema = {
        "type": "object",
        "properties": {name: {"type": "boolean"} for name in ("crashes", "is_deaf", "reports", "takes_descriptors")},
    }

    def process(self, context: JobContext) -> Json | None:
        if context.payload.get("crashes") and context.state:
            return context.state
        sleep = f"trap '' TERM; while sleep {DAEMON_SECONDS}; do :; done"
        command = ["sh", "-c", sleep] if context.payload.get("is_deaf") else ["sleep", DAEMON_SECONDS]
        pids = [
            subprocess.Popen(["sleep", DAEMON_SECONDS]).pid,
            subprocess.Popen(command, start_new_session=True).pid,
            start_orphan(),
        ]
        if context.payload.get("reports"):
            for pid in pids:
                context.checkpoint({}, effects=partial(write_effect, context, f"{DAEMON} {pid}"))
        if context.payload.get("crashes"):
            context.checkpoint({"pids": pids})
            os.kill(os.getpid(), signal.SIGKILL)
        if context.payload.get("takes_descriptors"):
            take_descriptors()
        return {"pids": pids}


def start_orphan() -> int:
    """Fork twice, as daemons do."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if (pid := os.fork()) == 0:
            while True:
                time.sleep(60)
        os.write(writer, str(pid).encode())
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(reader, 16))
    os.close(reader)
    os.close(writer)
    return pid


def take_descriptors() -> None:
    """Open files until no descriptor is left."""
    try:
        while True:
            _kept.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise


def is_running(pid: int) -> bool:
    """Return whether a process runs; a zombie does."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
