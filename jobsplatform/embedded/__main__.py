"""Run a command with servers: `python -m jobsplatform.embedded run [--fast] [--admin] [--keep DIR] [--port N] -- …`."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import environ

from jobsplatform.embedded.binaries import MissingServerError
from jobsplatform.embedded.server_user import die_with_parent
from jobsplatform.embedded.servers import FolderInUseError, ServerUrls, running_servers
from jobsplatform.embedded.supervision import ServerStartError
from jobsplatform.health.servers import UnfitServerError, require_fit_broker, require_fit_database

ROOT = Path(__file__).resolve().parent.parent.parent
EXIT_UNFIT = 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m jobsplatform.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="action", required=True)
    run = commands.add_parser("run", help="start the servers that are not configured, run the command, stop them")
    run.add_argument("--fast", action="store_true", help="give up durability; for tests, whose data are discarded")
    run.add_argument("--admin", action="store_true", help="let the command administer the broker, as --fast does")
    run.add_argument("--keep", type=Path, metavar="DIR", help="keep PostgreSQL's data in this folder")
    run.add_argument("--port", type=int, metavar="N", help="PostgreSQL's port, Valkey gets the next (default: any)")
    run.add_argument("command", nargs="+", metavar="COMMAND", help="the command to run, after --")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command with servers and return its exit status; return 2 if the servers are not available."""
    options = _parser().parse_args(arguments)
    if (ROOT / ".env").is_file():
        environ.Env.read_env(ROOT / ".env")
    database_url, redis_url = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if options.port and not (database_url and redis_url):
        sys.stderr.write(f"Starting PostgreSQL and Valkey on the ports {options.port} and {options.port + 1}\n")
    try:
        if database_url:
            require_fit_database(database_url)
        if redis_url:
            require_fit_broker(redis_url)
        with (
            _stop_on_signal() as relay,
            running_servers(
                database_url=database_url,
                redis_url=redis_url,
                keep=options.keep,
                is_fast=options.fast,
                port=options.port,
            ) as urls,
        ):
            administration = _administration(urls) if options.fast or options.admin else {}
            return relay.run(options.command, os.environ | urls.environment() | administration)
    except (UnfitServerError, MissingServerError, ServerStartError, FolderInUseError, PermissionError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return EXIT_UNFIT


def _administration(urls: ServerUrls) -> dict[str, str]:
    """Return variables for tests and benchmarks only: administration of the broker, which the platform never has."""
    return {"REDIS_ADMIN_URL": urls.redis_admin_url} if urls.redis_admin_url else {}


class Relay:
    """Forwards signals to the command instead of ending this process, so that the servers outlive the command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._received: signal.Signals | None = None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Store the signal and send it to the command, unless it is a Ctrl-C that the terminal has sent to both."""
        self._received = signal.Signals(number)
        if self._process is not None and not (number == signal.SIGINT and _is_in_foreground()):
            self._process.send_signal(number)
        elif self._process is None:
            raise SystemExit(128 + number)

    def run(self, command: list[str], environment: dict[str, str]) -> int:
        """Run the command to its end and return its status; 128 + n if signal n ended it."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - running the caller's command is the purpose
                command,
                env=environment,
                preexec_fn=lambda: die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - touches no lock
            )
        except OSError as error:
            sys.stderr.write(f"{command[0]}: {error.strerror}\n")
            return 127
        status = self._process.wait()
        return 128 - status if status < 0 else status


def _is_in_foreground() -> bool:
    """Return whether the terminal sends Ctrl-C to both this process and its command."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


@contextmanager
def _stop_on_signal() -> Iterator[Relay]:
    """Forward signals that stop this process to the command during the block; yield the relay."""
    relay = Relay()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, relay.receive) for number in numbers}
    try:
        yield relay
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
