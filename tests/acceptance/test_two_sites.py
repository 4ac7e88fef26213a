"""A second site on streaming replication: it serves reads, is promoted when the first is lost, and runs the rest."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener
from uuid import UUID

import psycopg
import pytest
from django.db import DatabaseError
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from jobsplatform.embedded.servers import APP_ROLE
from jobsplatform.embedded.supervision import free_port
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_jobs
from tenants.access.people import create_platform_admin
from tenants.models import Tenant
from tenants.tenancy.service import create_tenant
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import SLOTS, START_SECONDS, Platform, is_ready
from tests.acceptance.two_sites import SiteUnderTest
from tests.chaos.plugin.apps import ChaosConfig
from tests.chaos.plugin.processor import TABLE
from tests.keys import issue_api_key
from tests.processors import added_processor
from workloads.files.store import StoredContent, store_bytes

BATCH, PAUSE_SECONDS = 30, 0.1
SUBMIT_SECONDS = 6.0
RTO_SECONDS = 60.0
# Changes of jobs in the database of the second site that happened twice.
TWICE = "SELECT job_id, step FROM chaos_effect WHERE step <> 'begin' GROUP BY 1, 2 HAVING count(*) > 1"
COMPLETED = "SELECT count(*) FROM scheduling_job WHERE state = 'completed'"


@dataclass
class TwoSites:
    """The sites, their processes, and what was accepted by the first."""

    first: SiteUnderTest
    second: SiteUnderTest
    witness: Path
    tenant: Tenant
    key: str
    accepted: list[UUID] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    def platform(self, site: SiteUnderTest, role: str) -> Platform:
        """Return processes that end with the test."""
        platform = site.platform(role)
        self.stack.callback(platform.stop)
        return platform

    def submit_until_lost(self, seconds: float) -> None:
        """Submit 300 jobs a second to the first site for some seconds, or until its database is lost."""
        next_at = began = time.monotonic()
        request = JobRequest("chaos_steps", {"steps": 2})
        while next_at < began + seconds:
            try:
                bulk = submit_jobs(tenant=self.tenant, requests=[request] * BATCH)
            except (DatabaseError, psycopg.Error):
                return
            self.accepted += [one.job.pk for _, one in bulk.accepted]
            next_at += PAUSE_SECONDS
            time.sleep(max(0.0, next_at - time.monotonic()))


@pytest.fixture(scope="module")
def sites(
    django_db_setup: object, django_db_blocker: DjangoDbBlocker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoSites]:
    """Start both databases; the second follows the first."""
    folder = tmp_path_factory.mktemp("sites")
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    witness = folder / "witness"
    with django_db_blocker.unblock(), ExitStack() as stack:
        first, second = (SiteUnderTest(name, folder, f"file://{witness}") for name in ("north", "south"))
        stack.callback(first.broker.kill)
        stack.callback(second.broker.kill)
        first.database.create()
        stack.callback(first.database.kill)
        with psycopg.connect(first.database.url("postgres")) as administrator:
            administrator.execute(TABLE.format(app=APP_ROLE, platform="jobs_platform"))
        second.database.follow(first.database)
        stack.callback(second.database.kill)
        for path in ChaosConfig.processors:
            stack.enter_context(added_processor(path))
        with first.entered():
            tenant = create_tenant(slug="acme", plan="team")
            key = issue_api_key(tenant=tenant, name="reader").token
            create_platform_admin(username="root", password="a long password")
        made = TwoSites(first, second, witness, tenant, key)
        stack.enter_context(made.stack)
        yield made


def answer(opener: OpenerDirector, url: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    """Return status and body of an answer, whatever its status."""
    try:
        with opener.open(Request(url, body, headers), timeout=60) as found:
            return found.status, found.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def serves(process: ManagedProcess, url: str) -> bool:
    try:
        return answer(build_opener(), f"{url}/health/live")[0] == 200
    except OSError:
        assert process.is_running, process.log
        return False


def test_standby_serves_reads_and_refuses_changes(sites: TwoSites) -> None:
    platform, port = sites.platform(sites.second, "standby"), free_port()
    url, api = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/api/v1"
    refused = [platform.start(*command) for command in (["dispatch_jobs"], ["run_worker", "--pool=default"])]
    refused.append(platform.start_beat())
    web = platform.start_web(port)
    eventually(lambda: serves(web, url), within=START_SECONDS, what="the web server answers")

    status, body = answer(build_opener(), f"{url}/health/ready")
    assert (status, json.loads(body)["status"]) == (200, "standby")
    assert json.loads(body)["lag_seconds"] >= 0
    key = {"Authorization": f"Api-Key {sites.key}"}
    for path in ("jobs/", "batches/", "usage/"):
        assert answer(build_opener(), f"{api}/{path}", **key)[0] == 200, path
    status, body = answer(build_opener(), f"{api}/jobs/", b"{}", **key)
    assert (status, json.loads(body)["code"]) == (503, "site_standby")

    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar))
    answer(browser, f"{url}/admin/login/")
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = {"username": "root", "password": "a long password", "csrfmiddlewaretoken": token, "next": "/admin/"}
    status, overview = answer(browser, f"{url}/admin/login/", urlencode(form).encode())
    assert status == 200
    assert "This site is a standby" in overview
    for path in ("scheduling/job/", "scheduling/queue/", "tenants/tenant/", "tenants/auditlogentry/"):
        assert answer(browser, f"{url}/admin/{path}")[0] == 200, path
    assert answer(browser, f"{url}/admin/scheduling/queue/add/", urlencode(form).encode())[0] == 503

    for process in refused:
        eventually(lambda process=process: not process.is_running, within=START_SECONDS, what="it refuses to start")
        assert process.status != 0
        assert "tenants.E010" in process.log
    platform.stop()


def test_standby_mirrors_files_of_the_active_site(sites: TwoSites) -> None:
    north, south = (sites.witness.parent / f"{name}-files" for name in ("north", "south"))

    def store(text: bytes) -> StoredContent:
        with sites.first.entered(), override_settings(MEDIA_ROOT=north):
            stored = store_bytes(sites.tenant.pk, text)
        found = "SELECT count(*) FROM files_content WHERE key = %s"
        eventually(lambda: sites.second.database.read(found, stored.key) == [(1,)], what="the row is replicated")
        return stored

    first = store(b"stored before")
    platform = sites.platform(sites.second, "standby")
    command = ("mirror_files", f"--from={north}", "--json")
    planned = platform.start(*command, "--dry-run", FILES_ROOT=str(south))
    eventually(lambda: not planned.is_running, within=START_SECONDS, what="the dry run ends")
    assert (planned.status, json.loads(planned.log.splitlines()[-1])["missing"]) == (1, 1), planned.log
    watching = platform.start(*command, "--watch=1", FILES_ROOT=str(south))
    for stored, text in ((first, b"stored before"), (store(b"stored later"), b"stored later")):
        copy = south / stored.key
        eventually(
            lambda copy=copy, text=text: copy.exists() and copy.read_bytes() == text,
            within=START_SECONDS,
            what="the file is copied",
        )
    watching.ask_to_stop()
    eventually(lambda: not watching.is_running, what="the command ends")
    assert watching.status == 0, watching.log
    last = json.loads(watching.log.splitlines()[-1])
    assert (last["missing"], last["faults"]) == (0, [])


def promote(platform: Platform, sites: TwoSites) -> dict[str, object]:
    process = platform.start("promote", f"--admin-url={sites.second.database.admin_url}", "--json")
    eventually(lambda: not process.is_running, within=RTO_SECONDS, what="the site is promoted")
    assert process.status == 0, process.log
    facts: dict[str, object] = json.loads(process.log.splitlines()[-1])
    return facts


def test_promoted_site_runs_the_rest_and_names_what_is_lost(sites: TwoSites) -> None:
    north = sites.platform(sites.first, "active")
    processes = [north.start_dispatcher(), north.start_worker()]
    with sites.first.entered():
        began = time.monotonic()
        sites.submit_until_lost(SUBMIT_SECONDS)
        rate = len(sites.accepted) / (time.monotonic() - began)
        eventually(lambda: sites.second.database.read(COMPLETED)[0][0], what="completed jobs are replicated")
        # The last ones are on their way.
        sites.submit_until_lost(2 * PAUSE_SECONDS)
        sites.first.database.kill()
    lost_at = time.monotonic()
    for process in processes:
        process.kill()
    before = sites.second.database.read(COMPLETED)[0][0]

    facts = promote(sites.platform(sites.second, "standby"), sites)
    promoted_seconds = time.monotonic() - lost_at
    south = sites.platform(sites.second, "active")
    south.start_dispatcher()
    worker = south.begin_worker(concurrency=SLOTS)
    eventually(lambda: is_ready(worker), within=START_SECONDS, what="the worker is ready")
    eventually(lambda: sites.second.database.read(COMPLETED)[0][0] > before, what="a job completes at the second site")
    rto_seconds = time.monotonic() - lost_at
    assert (facts["site"], facts["epoch"]) == ("south", 2)
    assert rto_seconds <= RTO_SECONDS

    rest = "SELECT count(*) FROM scheduling_job WHERE state <> 'completed'"
    eventually(lambda: sites.second.database.read(rest) == [(0,)], within=300, what="all replicated jobs complete")
    assert sites.second.database.read(TWICE) == []

    # The old site comes back with its old database.
    sites.first.database.start()
    old = north.start_dispatcher()
    held = "SELECT starts_until <= now() AND strpos(fault, 'south has the epoch 2') > 0 FROM scheduling_site"
    eventually(lambda: sites.first.database.read(held) == [(True,)], within=START_SECONDS, what="the old site is held")
    old.kill()
    compared = south.start("compare_sites", f"--old={sites.first.database.url(APP_ROLE)}", "--json")
    eventually(lambda: not compared.is_running, within=START_SECONDS, what="the sites are compared")
    listed = {job["id"]: job for job in json.loads(compared.log.splitlines()[-1])}
    here = {row[0] for row in sites.second.database.read("SELECT id FROM scheduling_job")}
    there = {row[0] for row in sites.first.database.read("SELECT id FROM scheduling_job")}
    assert {UUID(one) for one, job in listed.items() if not job["new_state"]} == there - here
    assert set(sites.accepted) <= here | there
    sys.stdout.write(
        f"promoted after {promoted_seconds:.1f} s, first job after {rto_seconds:.1f} s; "
        f"{len(sites.accepted)} jobs accepted at {rate:.0f} a second, {len(there - here)} lost\n"
    )

    # It comes back as a fresh standby.
    sites.first.database.kill()
    sites.first.database.follow(sites.second.database)
    assert sites.first.database.read("SELECT pg_is_in_recovery(), name FROM scheduling_site") == [(True, "south")]
