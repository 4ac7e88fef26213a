"""Secret canary: each secret is used in its place, and then everything that is stored is searched for it."""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from scheduling import tracing
from scheduling.models import Job
from tenants.access.api_keys import issue_api_key
from tenants.access.memberships import add_member
from tenants.access.permissions import DEVELOPER_KEY_SCOPES
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.models import Role, Tenant
from tests.integration.workloads.workflows.conftest import Runs
from tests.platform_settings import ChangePlatformSettings
from tests.spans import Spans, exported_spans
from tests.unit.workloads.workflows.definitions import node, workflow
from tests.web_server import WebServer, web_server
from workloads.documents.extraction import extractor

pytestmark = pytest.mark.django_db(transaction=True)
API = "/api/v1/"


@pytest.fixture
def server(change_platform_settings: ChangePlatformSettings) -> Iterator[WebServer]:
    """Return a server that echoes its request headers at every address."""
    with web_server() as running:
        change_platform_settings(OUTGOING_HTTP_ALLOWED_HOSTS=[f"127.0.0.1:{running.port}"])
        yield running


@pytest.fixture
def sealing(change_platform_settings: ChangePlatformSettings) -> Iterator[None]:
    forget_keys()
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[base64.b64encode(b"c" * 32).decode()])
    yield
    forget_keys()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Return everything that is logged at any level, with fields and tracebacks."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            lines.append(f"{record.getMessage()} {record.__dict__} {trace}")

    handler, root = Kept(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(level)
    root.removeHandler(handler)


@pytest.fixture
def spans(transactional_db: None) -> Iterator[Spans]:
    """Return the spans that web and worker export."""
    with exported_spans() as exported:
        yield exported


def canary(name: str) -> str:
    return f"canary-{name}-{uuid4().hex}"


def rows_with(text: str) -> list[str]:
    """Return the tables of which a row contains the text in any column, as text or as bytes."""
    found = []
    with all_tenants(), connection.cursor() as cursor:
        # Search as both roles: some tables, such as accounts, are readable only by the login role.
        cursor.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
        tables = [name for (name,) in cursor.fetchall()]
        assert len(tables) > 60
        for role in ("jobs_platform", "none"):
            cursor.execute("SELECT set_config('role', %s, true)", [role])
            for table in tables:
                cursor.execute("SELECT has_table_privilege(%s, 'SELECT')", [table])
                if not cursor.fetchone()[0]:
                    continue
                cursor.execute(
                    f"SELECT 1 FROM {table} t WHERE t::text LIKE %s OR t::text LIKE %s LIMIT 1",
                    [f"%{text}%", f"%{text.encode().hex()}%"],
                )
                if cursor.fetchone():
                    found.append(table)
    return found


def keys_with(text: str) -> list[str]:
    """Return the keys of Redis that contain the text, in their names or values."""
    client = redis.Redis.from_url(django_settings.CELERY_BROKER_URL)
    readers: dict[bytes, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    return [str(key) for key in client.scan_iter() if text in f"{key} {readers[client.type(key)](key)}"]


class Secrets:
    """One canary in each place where a secret may be given."""

    def __init__(self, tenant: Tenant, server: WebServer) -> None:
        self.password, self.stored, self.model = canary("password"), canary("stored"), canary("model")
        user = User.objects.create_user("carol", password=self.password, is_staff=True)
        add_member(tenant=tenant, user=user, role=Role.OWNER)
        console = Client()
        logged_in = console.post("/admin/login/", {"username": "carol", "password": self.password})
        assert logged_in.status_code == 302
        self.owner = APIClient()
        self.owner.force_login(user)
        body = {"name": "api", "value": self.stored, "hosts": ["127.0.0.1"]}
        assert self.post("secrets/", body)["version"] == 1
        self.post("secrets/", {"name": "model", "value": self.model, "hosts": ["127.0.0.1"]})
        key = {"key": "{{ secrets.model }}", "models": [{"name": "m", "use": "chat"}]}
        self.post("model-endpoints/", {"name": "own", "url": server.url, **key})
        webhook = self.post("webhooks/", {"name": "ops", "url": f"{server.url}/hook"})
        self.webhook, self.signing = webhook["webhook"]["id"], webhook["secret"].removeprefix("whsec_")
        token = issue_api_key(tenant=tenant, name="canary", scopes=DEVELOPER_KEY_SCOPES).token
        self.token = token.partition(".")[2]
        self.key = APIClient()
        self.key.credentials(HTTP_AUTHORIZATION=f"Api-Key {token}")

    @property
    def all(self) -> dict[str, str]:
        return {
            "password": self.password,
            "stored secret": self.stored,
            "key of the model": self.model,
            "signing secret": self.signing,
            "API key": self.token,
        }

    def post(self, path: str, body: Any) -> Any:
        answer = self.owner.post(API + path, body, format="json")
        assert answer.status_code < 300, answer.content
        return answer.json()


def _work(secrets: Secrets, runs: Runs, tenant: Tenant, server: WebServer) -> list[Job]:
    """Use every secret: calls that succeed and fail, a run with a request and a model, a delivery."""
    echo = f"You sent {secrets.stored}.".encode()
    server.answers["/fine"] = (200, {"X-Echo": secrets.stored, "Content-Type": "text/plain"}, echo)
    server.answers["/broken"] = (500, {"X-Echo": secrets.stored}, echo)
    server.answers["/away"] = (302, {"Location": f"/{secrets.stored}"}, b"")
    said = {"choices": [{"message": {"content": f"Your key is {secrets.model}"}}], "model": secrets.model}
    server.answers["/chat/completions"] = (200, {"Content-Type": "application/json"}, json.dumps(said).encode())
    ended = []
    for path in ("/fine", "/broken", "/away"):
        payload = {
            "url": server.url + path,
            "headers": {"Authorization": "Bearer {{ secrets.api }}"},
            "max_redirects": 1,
        }
        answer = secrets.key.post(API + "jobs/", {"kind": "http_call", "payload": payload}, format="json")
        assert answer.status_code == 201, answer.content
        ended.append(runs.go(_job(answer.json()["id"])))
    headers = {"X-Key": "{{ secrets.api }}"}
    definition = workflow(
        node("call", "http_request", url=f"{server.url}/fine", headers=headers),
        node("ask", "llm", prompt="Who are you? {{ nodes.call.status }}", model="m"),
        outputs={"answer": {"ref": "nodes.ask.text"}},
    )
    ended.append(runs.run(tenant, definition))
    ended.append(runs.go(_job(secrets.post(f"webhooks/{secrets.webhook}/test/", {})["job"])))
    return ended


def _job(job_id: str) -> Job:
    with all_tenants():
        return Job.objects.get(pk=job_id)


def test_secrets_are_in_no_table_key_log_answer_or_trace(
    sealing: None, logged: list[str], spans: Spans, runs: Runs, acme: Tenant, server: WebServer
) -> None:
    secrets = Secrets(acme, server)
    jobs = _work(secrets, runs, acme, server)
    assert [job.state for job in jobs] == ["completed", "retryable", "completed", "completed", "completed"]
    sent = [str(seen.headers) for seen in server.seen]
    assert sum(secrets.stored in headers for headers in sent) == 5
    assert sum(secrets.model in headers for headers in sent) == 1
    assert jobs[3].result["outputs"]["answer"] == "Your key is [secret]"
    assert len(logged) > 5
    shown = [
        secrets.owner.get(f"{API}{path}").content.decode()
        for path in ("secrets/", "audit-log/", "tenants/me/settings/")
    ]
    shown += [
        secrets.owner.get(f"{API}jobs/{job.pk}/{part}").content.decode()
        for job in jobs
        for part in ("", "logs/", "events/")
    ]
    traced = spans.texts()
    # Of web and worker, including their calls of PostgreSQL and Redis.
    for part in ('"POST', '"job.submit"', '"job.execute"', '"SELECT"', '"db.system": "redis"'):
        assert any(part in line for line in traced), part
    for name, value in secrets.all.items():
        assert rows_with(value) == [], name
        assert keys_with(value) == [], name
        assert [line for line in [*logged, *shown, *traced] if value in line] == [], name


def test_search_finds_planted_values(acme: Tenant, spans: Spans) -> None:
    """Prove that the searches of this module can find something."""
    value = canary("planted")
    redis.Redis.from_url(django_settings.CELERY_BROKER_URL).hset("canary", "field", value)
    try:
        assert keys_with(value) == [str(b"canary")]
    finally:
        redis.Redis.from_url(django_settings.CELERY_BROKER_URL).delete("canary")
    with tracing.span("planted", value=value):
        pass
    assert [line for line in spans.texts() if value in line]
    issue_api_key(tenant=acme, name=value, scopes=["jobs.view"])
    assert "tenants_apikey" in rows_with(value)


def test_extraction_child_has_no_secret_in_environment_and_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a worker's environment from the process that parses files."""
    value, seen = canary("environment"), []
    for name in ("SECRET_KEY", "ENCRYPTION_MASTER_KEYS", "DATABASE_URL", "LLM_API_KEY"):
        monkeypatch.setenv(name, value)

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            seen.append([Path(f"/proc/{self.pid}/{name}").read_bytes() for name in ("environ", "cmdline")])

    monkeypatch.setattr(subprocess, "Popen", Watched)
    with tempfile.TemporaryFile() as file:
        file.write(b"Nothing to hide.")
        file.flush()
        assert extractor.extract_file(file, "text/plain").blocks
    assert seen
    assert value.encode() not in b"".join(part for parts in seen for part in parts)
    assert value in os.environ["SECRET_KEY"]
