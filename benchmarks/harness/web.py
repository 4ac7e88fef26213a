"""The platform's web servers, started as an operator starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.harness.parts import MeasureFailedError
from jobsplatform.demo.processes import HOST, ROOT, free_port
from jobsplatform.embedded.identity import die_with_parent
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE

# As deploy/ starts it.
WEB_WORKERS, WEB_THREADS = 2, 8
READY_SECONDS, STOP_SECONDS = 120.0, 5.0


@dataclass(frozen=True, slots=True)
class WebServer:
    """A server that answers: its port, and its main process."""

    port: int
    pid: int


def serving_web(folder: Path) -> AbstractContextManager[WebServer]:
    """Start the WSGI server on a free port, yield it once it answers, and stop it."""
    counters = folder / "web-counters"
    counters.mkdir()
    options = [f"--bind={HOST}:{{port}}", f"--workers={WEB_WORKERS}", f"--threads={WEB_THREADS}"]
    module = ["gunicorn", *options, "jobsplatform.wsgi"]
    return _serving(module, folder / "web.log", {MULTIPROCESS_VARIABLE: str(counters)})


def serving_streams(folder: Path) -> AbstractContextManager[WebServer]:
    """Start the ASGI server on a free port, yield it once it answers, and stop it."""
    options = ["--port={port}", "--no-access-log", "--http=h11"]
    return _serving(["uvicorn", *options, "jobsplatform.asgi:application"], folder / "streams.log", {})


@contextmanager
def _serving(module: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[WebServer]:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", *(part.format(port=port) for part in module)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
        )
    try:
        _wait_ready(process, port, log)
        yield WebServer(port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"http://{HOST}:{port}/health/live", headers={"Host": "localhost"}, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass  # not yet
        time.sleep(0.1)
    raise MeasureFailedError(f"The server did not start.\n{log.read_text(encoding='utf-8')[-2_000:]}")
