"""Start-up checks: every server process runs the same, and refuses to start if it would do harm."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from pytest_django import Settings

from jobsplatform.celery import app
from jobsplatform.health import checks
from jobsplatform.health.servers import Problem
from scheduling.celery.beat import BeatingScheduler
from scheduling.management.commands import dispatch_jobs, run_platform, run_worker
from tenants import checks as tenant_checks
from tenants import startup_checks
from tenants.exceptions import PrivilegedRoleError
from tenants.startup_checks import StartupCheckError, run_startup_checks
from tests.platform_settings import ChangePlatformSettings
from tests.processors import added_processor

pytestmark = pytest.mark.django_db

REFUSALS = (StartupCheckError, CommandError, SystemExit)
type Start = Callable[[], object]


async def import_in_loop(name: str) -> None:
    """Import a server inside a running event loop, as an ASGI server does."""
    importlib.import_module(name)


ENTRY_POINTS: dict[str, Start] = {
    "web": lambda: importlib.import_module("jobsplatform.wsgi"),
    "streams": lambda: asyncio.run(import_in_loop("jobsplatform.asgi")),
    "beat": partial(BeatingScheduler, app=app),
    "dispatcher": partial(call_command, "dispatch_jobs", skip_checks=False),
    "worker": partial(call_command, "run_worker", "--pool=default", skip_checks=False),
    "platform": partial(call_command, "run_platform", skip_checks=False),
}
# They wait, or answer, until it is back.
WITHOUT_DATABASE = ("web", "streams", "platform")
# They run no processor.
WITHOUT_PROCESSORS = ("beat", "dispatcher")


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what runs after the checks, and import servers as a new process does."""
    for command in (dispatch_jobs, run_worker, run_platform):
        monkeypatch.setattr(command.Command, "handle", lambda *args, **options: None)
    monkeypatch.setattr(BeatingScheduler, "setup_schedule", lambda scheduler: None)
    for name in ("jobsplatform.wsgi", "jobsplatform.asgi"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def be_behind(monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings) -> str:
    monkeypatch.setattr(tenant_checks, "count_pending_migrations", lambda: 1)
    return "1 migrations are not applied"


def be_privileged(monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings) -> str:
    shut(monkeypatch, PrivilegedRoleError("The role is a superuser."))
    return "The role is a superuser"


def evict(monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings) -> str:
    monkeypatch.setattr(checks, "broker_problems", lambda client: [Problem("It is allkeys-lru.", "Set noeviction.")])
    return "allkeys-lru. Set noeviction"


def have_no_key(monkeypatch: pytest.MonkeyPatch, change_platform_settings: ChangePlatformSettings) -> str:
    change_platform_settings(IS_SECRET_KEY_GIVEN=False)
    return "SECRET_KEY is not set"


@pytest.fixture
def broken_processor() -> Iterator[None]:
    """Register a plug-in whose class cannot be imported."""
    with added_processor("no.such.module.Processor"):
        yield


def shut(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(connection: BaseDatabaseWrapper) -> None:
        raise error

    monkeypatch.setattr(BaseDatabaseWrapper, "ensure_connection", refuse)


@pytest.mark.parametrize("start", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
def test_every_process_starts_without_faults(start: Start) -> None:
    start()


@pytest.mark.parametrize("start", ENTRY_POINTS.values(), ids=ENTRY_POINTS)
@pytest.mark.parametrize("fault", [be_behind, be_privileged, evict, have_no_key])
def test_process_that_would_do_harm_is_refused(
    start: Start,
    fault: Callable[[pytest.MonkeyPatch, ChangePlatformSettings], str],
    monkeypatch: pytest.MonkeyPatch,
    change_platform_settings: ChangePlatformSettings,
) -> None:
    words = fault(monkeypatch, change_platform_settings)
    with pytest.raises(REFUSALS, match=words):
        start()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_unreachable_database_stops_only_processes_that_need_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    # Not `caplog`: importing a server configures logging again.
    monkeypatch.setattr(startup_checks.logger, "warning", lambda event, *, extra: warned.append(extra["check"]))
    shut(monkeypatch, OperationalError("connection refused"))
    if name in WITHOUT_DATABASE:
        ENTRY_POINTS[name]()
        assert warned == ["tenants.E004"]
    else:
        with pytest.raises(REFUSALS, match="No connection to the database"):
            ENTRY_POINTS[name]()


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_broken_plug_in_stops_processes_that_run_or_accept_jobs(
    name: str, broken_processor: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(startup_checks.logger, "warning", lambda event, *, extra: warned.append(extra["check"]))
    if name in WITHOUT_PROCESSORS:
        ENTRY_POINTS[name]()
        assert warned == ["scheduling.E001"]
    else:
        with pytest.raises(REFUSALS, match=r"no\.such\.module"):
            ENTRY_POINTS[name]()


def test_warning_is_logged_and_the_process_starts(
    change_platform_settings: ChangePlatformSettings, caplog: pytest.LogCaptureFixture
) -> None:
    change_platform_settings(REDIS_URL="redis://127.0.0.1:9/0")
    with caplog.at_level(logging.WARNING, "tenants.startup_checks"):
        run_startup_checks()
    [record] = caplog.records
    assert (record.message, record.__dict__["check"]) == ("start.warned", "jobsplatform.W001")


def test_silenced_finding_is_neither_an_error_nor_logged(
    settings: Settings, change_platform_settings: ChangePlatformSettings, caplog: pytest.LogCaptureFixture
) -> None:
    change_platform_settings(IS_SECRET_KEY_GIVEN=False)
    settings.SILENCED_SYSTEM_CHECKS = ["jobsplatform.E004"]
    run_startup_checks()
    assert caplog.records == []
