"""Command that runs all processes of the platform on one machine."""

from __future__ import annotations

import os
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db import connection

from scheduling.celery.app import app_name
from scheduling.fleet.serving import ServingCommand
from scheduling.fleet.slots import IO_SLOTS
from scheduling.fleet.supervisor import Service, stop_event, supervise
from scheduling.observability.metrics import MULTIPROCESS_VARIABLE
from tenants.audit.signing import public_key_text
from tenants.checks import DATABASE_AWAY
from tenants.database.platform_settings import platform_settings
from tenants.management.arguments import positive
from tenants.url_prefixes import API_V1_PREFIX, CONSOLE_PREFIX

ANSWER_SECONDS = 60.0
# They wait rather than compute, in one process.
# As in docs/how-to/production.md, which explains them.
UVICORN_OPTIONS = (
    "--no-access-log",
    "--http=h11",
    "--h11-max-incomplete-event-size=16384",
    "--timeout-keep-alive=75",
    "--timeout-graceful-shutdown=5",
)
# Address without a server.
NOWHERE = "redis://127.0.0.1:9/0"
# Only the auditor gets them.
AUDITOR_VARIABLES = ("DATABASE_AUDITOR_URL", "AUDIT_SIGNING_KEY")
# Only the worker of upkeep gets it.
BACKUP_VARIABLES = ("DATABASE_BACKUP_URL",)


class Command(ServingCommand):
    # Its services are restarted until the database is back.
    bears = frozenset({DATABASE_AWAY})
    help = (
        "Run web server, streams server, dispatcher, auditor, a worker for each pool and beat; restart a process "
        "that dies; stop all on SIGTERM or Ctrl-C."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1:8000", help="address of the web server (default: %(default)s)")
        parser.add_argument(
            "--streams-bind", help="address of the streams server (default: the port after the web server's)"
        )
        parser.add_argument(
            "--web-workers", type=positive, default=2, help="processes of the web server (default: %(default)s)"
        )
        parser.add_argument(
            "--slots",
            type=positive,
            default=len(os.sched_getaffinity(0)),
            help="slots of the pool `default` (default: one a processor, %(default)s here)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # The checks have opened a session, which a supervisor does not need.
        connection.close()
        stopped = stop_event()
        options["streams_bind"] = options["streams_bind"] or next_address(options["bind"])
        threading.Thread(target=self._tell_addresses, args=(options, stopped), daemon=True).start()
        with TemporaryDirectory(prefix="jobsplatform-metrics-") as shared:
            # The web server serves the metrics of all processes.
            os.environ.setdefault(MULTIPROCESS_VARIABLE, shared)
            # The processes cannot share one port.
            os.environ["METRICS_PORT"] = "0"
            self._auditors = _take_out_of_environment(AUDITOR_VARIABLES)
            self._backups = _take_out_of_environment(BACKUP_VARIABLES)
            # No broker: the auditor needs none.
            self._auditors |= {"REDIS_URL": NOWHERE, "CACHE_URL": "", "REDIS_ROLE_URLS": ""}
            supervise(self._services(options), stopped)

    def _services(self, options: dict[str, Any]) -> list[Service]:
        manage = [sys.executable, sys.argv[0]]
        module, _, name = settings.WSGI_APPLICATION.rpartition(".")
        worker = _broker_of("worker")
        web = ["--bind", options["bind"], "--workers", str(options["web_workers"]), "--threads=4"]
        return [
            Service("web", [sys.executable, "-m", "gunicorn", *web, f"{module}:{name}"], _broker_of("web")),
            Service("streams", _streams_command(options["streams_bind"]), _broker_of("streams")),
            Service("dispatcher", [*manage, "dispatch_jobs"], _broker_of("dispatcher")),
            Service("auditor", [*manage, "run_auditor"], self._auditors),
            Service(
                "worker default",
                [*manage, "run_worker", "--pool=default", f"--slots={options['slots']}"],
                worker,
            ),
            Service("worker io", [*manage, "run_worker", "--pool=io", f"--slots={IO_SLOTS}"], worker),
            Service(
                "worker maintenance", [*manage, "run_worker", "--pool=maintenance", "--slots=1"], worker | self._backups
            ),
            Service(
                "beat", [sys.executable, "-m", "celery", "--app", app_name(), "beat", "--pidfile="], _broker_of("beat")
            ),
        ]

    def _tell_addresses(self, options: dict[str, Any], stopped: threading.Event) -> None:
        """Wait until the web server responds, then print the addresses of console, API and streams."""
        host, _, port = options["bind"].rpartition(":")
        until = time.monotonic() + ANSWER_SECONDS
        while not _answers(host, int(port)):
            if time.monotonic() > until or stopped.wait(0.2):
                return
        base = f"http://{options['bind']}"
        streams = f"http://{options['streams_bind']}{API_V1_PREFIX}jobs/stream/"
        self.stdout.write(f"Console: {base}{CONSOLE_PREFIX}\nAPI:     {base}{API_V1_PREFIX}\nStreams: {streams}")
        self.stdout.flush()


def next_address(bind: str) -> str:
    """Return the address with the next port, such as 127.0.0.1:8001 for 127.0.0.1:8000."""
    host, _, port = bind.rpartition(":")
    return f"{host}:{int(port) + 1}"


def _streams_command(bind: str) -> list[str]:
    host, _, port = bind.rpartition(":")
    module, _, name = settings.WSGI_APPLICATION.replace(".wsgi.", ".asgi.").rpartition(".")
    address = [f"--host={host.strip('[]')}", f"--port={port}"]
    return [sys.executable, "-m", "uvicorn", *address, *UVICORN_OPTIONS, f"{module}:{name}"]


def _take_out_of_environment(names: Sequence[str]) -> dict[str, str]:
    """Return these environment variables, and set them to empty for the other processes.

    An empty variable also overrides the one in `.env`.
    """
    # Verification uses the public key instead.
    if platform_settings.AUDIT_SIGNING_KEY:
        os.environ["AUDIT_PUBLIC_KEYS"] = ",".join({*platform_settings.AUDIT_PUBLIC_KEYS, public_key_text()})
    taken = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, ""))
    return taken


def _broker_of(role: str) -> dict[str, str]:
    """Return environment variables with only this role's own Redis login, if it is at the server of REDIS_URL."""
    given, own = urlsplit(platform_settings.REDIS_URL), urlsplit(platform_settings.REDIS_ROLE_URLS.get(role, ""))
    if (own.hostname, own.port) != (given.hostname, given.port):
        return {"REDIS_ROLE_URLS": ""}
    return {"REDIS_URL": urlunsplit(own._replace(path=given.path)), "REDIS_ROLE_URLS": ""}


def _answers(host: str, port: int) -> bool:
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health/live", headers={"Host": "localhost"})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
