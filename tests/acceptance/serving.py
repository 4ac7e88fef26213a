"""The platform's processes as an operator starts them, for tests that use them from outside."""

from __future__ import annotations

import itertools
from pathlib import Path

from tests.acceptance.processes import ManagedProcess, eventually

SLOTS = 3
# Two cores that run other tests need this long to import everything.
START_SECONDS = 150.0
# As in deploy/.
HEAD_LIMITS = ("--http=h11", "--h11-max-incomplete-event-size=16384")
_numbers = itertools.count(1)


class Platform:
    """Processes, and the addresses of their servers."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._started: list[ManagedProcess] = []
        self.dispatcher: ManagedProcess | None = None
        self.worker: ManagedProcess | None = None
        self.auditor: ManagedProcess | None = None

    def start(self, *arguments: str, log: str = "", **environment: str) -> ManagedProcess:
        """Start a `manage.py` command; it is stopped after the test at the latest. ``log``: path of its output."""
        path = Path(log) if log else self._folder / f"{next(_numbers)}-{arguments[0]}.log"
        process = ManagedProcess([*arguments], self._environment | environment, path)
        self._started.append(process)
        return process

    def start_beat(self, **environment: str) -> ManagedProcess:
        """Start a beat process; several may run."""
        return self.start_celery("beat", "--pidfile=", **environment)

    def start_celery(self, *arguments: str, app: str = "jobsplatform.celery", **environment: str) -> ManagedProcess:
        """Start a command of Celery itself, with the platform's application or another one."""
        log = self._folder / f"{next(_numbers)}-{arguments[0]}.log"
        program = ("-m", "celery", "--app", app)
        process = ManagedProcess([*arguments], self._environment | environment, log, program=program)
        self._started.append(process)
        return process

    def start_streams(self, port: int, **environment: str) -> ManagedProcess:
        """Start the ASGI server, which serves long polls and streams."""
        log = self._folder / f"{next(_numbers)}-streams.log"
        arguments = [f"--port={port}", "--no-access-log", *HEAD_LIMITS, "jobsplatform.asgi:application"]
        process = ManagedProcess(arguments, self._environment | environment, log, program=("-m", "uvicorn"))
        self._started.append(process)
        return process

    def start_web(self, port: int, **environment: str) -> ManagedProcess:
        """Start the web server as in production."""
        log = self._folder / f"{next(_numbers)}-web.log"
        arguments = [f"--bind=127.0.0.1:{port}", "--threads=2", "jobsplatform.wsgi"]
        process = ManagedProcess(arguments, self._environment | environment, log, program=("-m", "gunicorn"))
        self._started.append(process)
        return process

    def start_dispatcher(self, **environment: str) -> ManagedProcess:
        return self.start("dispatch_jobs", **environment)

    def begin_worker(self, *, concurrency: int = SLOTS, pool: str = "default", **environment: str) -> ManagedProcess:
        """Start a worker of a pool without waiting for it."""
        return self.start("run_worker", f"--pool={pool}", f"--slots={concurrency}", **environment)

    def start_worker(self, *, concurrency: int = SLOTS, pool: str = "default") -> ManagedProcess:
        """Start a worker of a pool, and return once it accepts jobs."""
        worker = self.begin_worker(concurrency=concurrency, pool=pool)
        eventually(lambda: is_ready(worker) or not worker.is_running, within=START_SECONDS, what="the worker is ready")
        assert worker.is_running, worker.log
        return worker

    def start_interrupted_worker(self) -> ManagedProcess:
        """Start a worker that gets SIGTERM in the middle of its first message to a child."""
        log = self._folder / f"{next(_numbers)}-interrupted_worker.log"
        arguments = ["run_worker", "--pool=default", f"--slots={SLOTS}"]
        process = ManagedProcess(arguments, self._environment, log, program=("tests/acceptance/interrupted_worker.py",))
        self._started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> str:
        """Run a command to its end and return its output; fail if it fails."""
        process = self.start(*arguments, **environment)
        eventually(lambda: not process.is_running, within=START_SECONDS, what=" ".join(arguments))
        assert process.status == 0, process.log
        return process.log

    def restart_stopped(self) -> None:
        """Restart what the previous test has killed."""
        if self.dispatcher is None or not self.dispatcher.is_running:
            self.dispatcher = self.start_dispatcher()
        if self.auditor is None or not self.auditor.is_running:
            self.auditor = self.start("run_auditor")
        if self.worker is None or not self.worker.is_running:
            self.worker = self.start_worker()

    def stop_extras(self) -> None:
        """Stop all processes except the shared dispatcher, worker and auditor."""
        for process in self._started:
            if process not in {self.dispatcher, self.worker, self.auditor} and process.is_running:
                process.kill()

    def stop(self) -> None:
        for process in self._started:
            process.kill()

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-8_000:]}" for path in sorted(self._folder.iterdir())
        )


def is_ready(worker: ManagedProcess) -> bool:
    """Return whether a worker accepts jobs."""
    return " ready." in worker.log
