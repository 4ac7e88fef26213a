"""The parts of a run: a server with a world behind it, Schemathesis, the console's pages, the verdict."""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.test.utils import setup_test_environment

from tenants.access.api_keys import issue_api_key
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import all_tenants
from tenants.limits.service import set_tenant_limit
from tenants.models import Tenant
from tests.acceptance.processes import eventually
from tests.acceptance.serving import START_SECONDS, Platform
from tests.databases import TestDatabase, drop_blueprint
from tests.fuzz import hooks
from tests.fuzz.console import addresses
from tests.integration.access.world import World, make_world

# Codes of refusals that no schema can express; see docs/reference/api.md.
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
EXAMPLES_PER_OPERATION = 30
# Streams are kept open by a server of their own; gunicorn refuses them with 503.
STREAMS = "/stream/$"
PLATFORM = (
    "^/api/v1/(?!tenants/me/)(tenants|queues|pools|plans|cfs-plans|fairness|routing-rules|upkeep|members|api-keys"
    "|kinds|shared-circuits|workers)/"
)
TIMEOUT_SECONDS = 60
CLIENTS = 2
# Limits of tenants are not tested here.
RAISED = {"submits_per_minute": 1_000_000, "submit_burst": 1_000_000, "max_waiting_jobs": 1_000_000}


@dataclass(frozen=True, slots=True)
class Caller:
    """Credentials of a run of Schemathesis, and its options."""

    scheme: str
    credential: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Running server, and the credentials of the fuzzers."""

    url: str
    log: Path
    token: str
    cookies: dict[str, str]
    world: World

    @property
    def callers(self) -> tuple[Caller, ...]:
        """Return each caller's credentials and options: a key for its own routes, an administrator for the rest.

        The credentials are set by the name of their scheme, so that the checks can send requests without them.
        """
        by_key = Caller("ApiKey", f"Api-Key {self.token}", (f"--exclude-path-regex={STREAMS}|{PLATFORM}",))
        csrf = f"--header=X-CSRFToken: {hooks.CSRF_TOKEN}"
        options = (csrf, "--header=X-Tenant: acme", f"--include-path-regex={PLATFORM}")
        return by_key, Caller("cookieAuth", self.cookies["sessionid"], options)


def run(*, requests: int, seed: int, folder: Path) -> int:
    """Fuzz API and console, print the counts, and return 0 if nothing was found."""
    with served(folder) as target:
        status = fuzz_api(target, seed=seed, folder=folder)
        by_api = answers_in(target.log)
        fuzz_console(target, seed=seed, count=max(1_000, requests - by_api.total()))
        answers = answers_in(target.log)
    errors = server_errors_in(target.log)
    is_clean = status == 0 and not errors and answers.total() >= requests
    lines = [
        f"{answers.total()} requests: {by_api.total()} by Schemathesis, {answers.total() - by_api.total()} to pages",
        "Answers: " + ", ".join(f"{code} × {count}" for code, count in sorted(answers.items())),
        f"Server errors: {len(errors)}",
        *errors[:20],
        f"{int(is_clean)} passed, {int(not is_clean)} failed",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if is_clean else 1


@contextmanager
def served(folder: Path) -> Iterator[Target]:
    """Serve a world of rows by gunicorn, on a database of its own that is dropped at the end."""
    setup_test_environment()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    database = TestDatabase("fuzz")
    database.create()
    files = folder / "files"
    settings.MEDIA_ROOT = files
    world = make_world()
    environment = os.environ | database.urls()
    environment |= {"SECRET_KEY": settings.SECRET_KEY, "FILES_ROOT": str(files)}
    # A long poll is answered at once where there is no place to wait: nothing runs here that would bring news.
    environment |= {"LOG_LEVEL": "INFO", "LOG_FORMAT": "json", "WAITS_PER_PROCESS": "0"}
    platform = Platform(environment, folder)
    port = _free_port()
    try:
        platform.start_web(port)
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: _is_served(url), within=START_SECONDS, what="the web server answers")
        yield Target(url, folder / "1-web.log", _token(), _cookies(), world)
    finally:
        platform.stop()
        database.destroy()
        drop_blueprint()


def fuzz_api(target: Target, *, seed: int, folder: Path) -> int:
    """Run Schemathesis with all its checks as each caller; return the number of runs that found something."""
    command = ["run", f"{target.url}/api/v1/schema/", f"--max-examples={EXAMPLES_PER_OPERATION}", f"--seed={seed}"]
    command += ["--workers=2", "--no-color", "--continue-on-failure", "--generation-database=none"]
    command += [f"--request-timeout={TIMEOUT_SECONDS}", f"--report-dir={folder}"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": hooks.__name__}
    failed = 0
    for caller in target.callers:
        configuration = folder / f"{caller.scheme}.toml"
        login = f'[auth.openapi.{caller.scheme}]\napi_key = "{caller.credential}"\n'
        configuration.write_text(f"{CONFIGURATION.read_text()}\n{login}")
        tool = [sys.executable, "-m", "schemathesis.cli", f"--config-file={configuration}"]
        failed += subprocess.run([*tool, *command, *caller.options], check=False, env=environment).returncode != 0
    return failed


def fuzz_console(target: Target, *, seed: int, count: int) -> None:
    """Send GET requests with hostile parameters to every page, as a platform administrator."""
    draws = addresses(target.world, random.Random(seed))
    with (
        httpx.Client(base_url=target.url, cookies=target.cookies, timeout=TIMEOUT_SECONDS) as client,
        ThreadPoolExecutor(CLIENTS) as pool,
    ):
        for _ in pool.map(client.get, itertools.islice(draws, count)):
            pass


def answers_in(log: Path) -> Counter[int]:
    """Count the answers of the web server by status."""
    return Counter(event["status"] for event in _requests_in(log))


def server_errors_in(log: Path) -> list[str]:
    """Return the requests that were answered with a server error: nothing is down, so none is justified."""
    return [
        f"{event['status']} {event.get('method')} {event.get('path')}"
        for event in _requests_in(log)
        if event["status"] >= 500
    ]


def _requests_in(log: Path) -> Iterator[dict[str, int]]:
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            event = json.loads(line)
            if isinstance(event.get("status"), int):
                yield event


def _token() -> str:
    with all_tenants():
        acme = Tenant.objects.get(slug="acme")
    for key, value in RAISED.items():
        set_tenant_limit(tenant=acme, key=key, value=value, reason="fuzzing")
    return issue_api_key(tenant=acme, name="fuzz", scopes=DEVELOPER_KEY_SCOPES).token


def _cookies() -> dict[str, str]:
    client = Client()
    client.force_login(User.objects.get(username="admin"))
    return {name: morsel.value for name, morsel in client.cookies.items()}


def _is_served(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", timeout=5).status_code == 200
    except httpx.TransportError:
        time.sleep(0.2)
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
