"""The whole platform on one machine under one supervisor."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from scheduling.management.commands.run_platform import next_address
from scheduling.models import Worker
from tenants.context import all_tenants
from tenants.database.platform_settings import platform_settings
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually
from tests.brokers import broker_administrator

SERVICES = (
    "gunicorn",
    "uvicorn",
    "dispatch_jobs",
    "run_auditor",
    "--pool=default",
    "--pool=io",
    "--pool=maintenance",
    "beat",
)


def test_run_platform_keeps_its_services_running_and_stops_them_all(platform: Platform, acme: Tenant) -> None:
    address = f"127.0.0.1:{free_port()}"
    supervisor = platform.start("run_platform", f"--bind={address}", "--slots=1", "--web-workers=1")
    eventually(lambda: "Console:" in supervisor.log, within=START_SECONDS, what="it prints its address")
    assert f"http://{address}/admin/" in supervisor.log
    assert is_answering(address)
    eventually(lambda: is_answering(next_address(address)), within=START_SECONDS, what="the streams server answers")
    eventually(is_maintenance_served, within=START_SECONDS, what="the pool maintenance has a worker")
    services = eventually(lambda: len(found := services_of(supervisor)) == len(SERVICES) and found)

    (call,) = submit(acme, "http_call", {"url": "http://127.0.0.1/"})
    assert wait_for(call, "discarded").queue.pool.name == "io"

    if platform_settings.REDIS_ROLE_URLS:
        eventually(
            lambda: {"web", "streams", "dispatcher", "worker"} <= users_of_redis(address), what="each has its own user"
        )

    os.kill(services["dispatch_jobs"], signal.SIGKILL)
    eventually(
        lambda: services_of(supervisor).get("dispatch_jobs", services["dispatch_jobs"]) != services["dispatch_jobs"],
        what="a dead dispatcher is replaced",
    )

    last = services_of(supervisor)
    assert supervisor.stop() == 0
    for pid in last.values():
        assert not Path(f"/proc/{pid}").exists()
    assert not is_answering(address)


def test_services_of_killed_supervisor_end(platform: Platform) -> None:
    supervisor = platform.start("run_platform", f"--bind=127.0.0.1:{free_port()}", "--slots=1")
    services = eventually(lambda: len(found := services_of(supervisor)) == len(SERVICES) and found)
    os.kill(supervisor.pid, signal.SIGKILL)
    eventually(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in services.values()),
        within=START_SECONDS,
        what="nothing is left",
    )


def services_of(supervisor: ManagedProcess) -> dict[str, int]:
    """Return the supervisor's children by the word that distinguishes their commands."""
    found = {}
    for pid in supervisor.children():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        for word in SERVICES:
            if word in command:
                found[word] = pid
    return found


def users_of_redis(address: str) -> set[str]:
    """Return the users logged in at Redis, after the web server has connected."""
    for server in (address, next_address(address)):
        with suppress(URLError, OSError), urlopen(f"http://{server}/health/ready", timeout=5):
            pass
    with broker_administrator() as administrator:
        return {client["user"] for client in administrator.client_list()}


def is_maintenance_served() -> bool:
    with all_tenants():
        return Worker.objects.filter(pool__name="maintenance", status="online").exists()


def is_answering(address: str) -> bool:
    try:
        with urlopen(f"http://{address}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
