"""Start of a server on a free port, with a wait until it responds, and its stop."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jobsplatform.embedded.server_user import ServerUser, before_exec

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
_PORT_TRIES = 10
_POLL_SECONDS = 0.02


class ServerStartError(RuntimeError):
    """A server for development did not start; the message ends with its last output."""


class PortTakenError(ServerStartError):
    """A fixed port cannot be used, usually because another process listens on it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its process, its port, and the signal that shuts it down cleanly."""

    process: subprocess.Popen[bytes]
    port: int
    stop_signal: signal.Signals

    def stop(self) -> None:
        """Stop the server; kill it after STOP_SECONDS."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Launch:
    """Parameters for starting a server on `port` or, if it is None, on a free port.

    `arguments` and `answers` are called with the port.
    """

    name: str
    arguments: Callable[[int], list[str]]
    answers: Callable[[int], bool]
    stop_signal: signal.Signals
    log: Path
    folder: Path
    identity: ServerUser
    environment: dict[str, str]
    # A fixed port; None for any free one.
    port: int | None = None


def free_port() -> int:
    """Return a port that is free now. Another process may take it before the server does."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(host: str, port: int) -> None:
    """Raise PortTakenError if no server can listen on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), port))
    except (OSError, OverflowError) as error:
        raise PortTakenError(
            f"{host}:{port} cannot be used ({error}). Stop the process that listens there, or choose another address, "
            "such as `make dev BIND=127.0.0.1:9000`, which uses the ports 9000 to 9003."
        ) from error


def start(launch: Launch) -> Server:
    """Start the server and return it when it responds. If another process has taken its port meanwhile, try again."""
    for _ in range(_PORT_TRIES):
        port = launch.port or free_port()
        launch.log.write_bytes(b"")
        process = _spawn(launch, port)
        try:
            if _wait_for_answer(launch, process, port):
                return Server(process=process, port=port, stop_signal=launch.stop_signal)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if "in use" not in launch.log.read_text(errors="replace"):
            break
    raise ServerStartError(f"{launch.name} did not start:\n{last_lines(launch.log)}")


def _spawn(launch: Launch, port: int) -> subprocess.Popen[bytes]:
    """Start the process in its own session: a Ctrl-C at the terminal reaches the command, but not the server."""
    with launch.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            launch.arguments(port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env=launch.environment,
            start_new_session=True,
            preexec_fn=before_exec(launch.identity, launch.stop_signal),  # noqa: PLW1509 - touches no lock
        )


def _wait_for_answer(launch: Launch, process: subprocess.Popen[bytes], port: int) -> bool:
    """Return True when the server responds, or False if its process has ended.

    Raise ServerStartError after START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if launch.answers(port):
            return True
        time.sleep(_POLL_SECONDS)
    raise ServerStartError(f"{launch.name} did not respond within {START_SECONDS:.0f} s:\n{last_lines(launch.log)}")


def last_lines(log: Path, count: int = 15) -> str:
    """Return the last lines of a server's log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) or "(no output)"


def bare_environment(mark_variable: str, mark: str) -> dict[str, str]:
    """Return the environment for a server: the caller's PATH, a fixed language, and the mark."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", mark_variable: mark}
