"""Database connections under ASGI: each request has its own thread, which returns its connection."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.db import connection
from django.db.models.signals import post_init

from jobsplatform.asgi_limits import RequestLimiter
from scheduling.jobs.cancellation import cancel_job
from scheduling.models import Job
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.processes import eventually
from tests.integration.scheduling.job_helpers import submit
from tests.keys import issue_api_key

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # As in jobsplatform.asgi.
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators"),
]
JOBS = "/api/v1/jobs/"
CALLERS = 12
# Sessions of the server itself, such as autovacuum's, start and end at any time.
SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
IN_TRANSACTION = f"{SESSIONS} AND state LIKE 'idle in transaction%%'"


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Disable garbage collection, so that an unclosed connection stays open as it does under load."""
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture
def token(acme: Tenant) -> str:
    return issue_api_key(tenant=acme, name="asking").token


@dataclass
class Client:
    """One client of an ASGI application, which disconnects when the test requests it."""

    token: str
    path: str
    status: int = 0
    body: bytes = b""
    has_gone: asyncio.Event = field(default_factory=asyncio.Event)
    is_notified: asyncio.Event = field(default_factory=asyncio.Event)
    _has_asked: bool = False

    async def ask(self, application: Any) -> Client:
        path, _, query = self.path.partition("?")
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), (b"authorization", f"Api-Key {self.token}".encode())],
        }
        await application(scope, self._receive, self._send)
        return self

    async def _receive(self) -> dict[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request"}
        await self.has_gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
        if self.body:
            self.is_notified.set()


def count(statement: str = SESSIONS) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.fetchone()[0])


def wait_until_settled(before: int) -> None:
    """Wait until the server has ended its sessions and the reader of the streams has stopped."""
    eventually(lambda: count() <= before, within=30, what="no session is left behind")
    assert count(IN_TRANSACTION) == 0


@pytest.mark.parametrize("path", [JOBS, f"{JOBS}no-id/", "/health/ready"])
def test_requests_leave_no_connection_open(token: str, path: str) -> None:
    before = count()

    async def main() -> set[int]:
        application = RequestLimiter(get_asgi_application())
        asked = await asyncio.gather(*(Client(token, path).ask(application) for _ in range(CALLERS)))
        return {client.status for client in asked}

    assert 0 not in asyncio.run(main())
    wait_until_settled(before)


def test_refused_stream_leaves_no_connection_open(token: str) -> None:
    before = count()

    async def main() -> set[int]:
        application = RequestLimiter(get_asgi_application())
        clients = [Client("wrong", f"{JOBS}stream/") for _ in range(CALLERS)]
        return {client.status for client in await asyncio.gather(*(client.ask(application) for client in clients))}

    assert asyncio.run(main()) == {401}
    wait_until_settled(before)


def test_client_disconnecting_during_a_page_leaves_no_connection_open(acme: Tenant, token: str) -> None:
    submit(acme)
    before, is_inside, may_go_on = count(), threading.Event(), threading.Event()

    def pause(**_: Any) -> None:
        is_inside.set()
        may_go_on.wait(30)

    async def main() -> Client:
        client = Client(token, JOBS)
        asking = asyncio.create_task(client.ask(RequestLimiter(get_asgi_application())))
        await asyncio.to_thread(is_inside.wait, 30)
        client.has_gone.set()
        # The disconnection is noticed while the view runs.
        for _ in range(20):
            await asyncio.sleep(0)
        may_go_on.set()
        return await asking

    post_init.connect(pause, sender=Job)
    try:
        asyncio.run(main())
    finally:
        post_init.disconnect(pause, sender=Job)
    wait_until_settled(before)


def test_client_disconnecting_during_a_stream_leaves_no_connection_open(token: str) -> None:
    before = count()

    async def main() -> Client:
        client = Client(token, f"{JOBS}stream/")
        asking = asyncio.create_task(client.ask(RequestLimiter(get_asgi_application())))
        await client.is_notified.wait()
        client.has_gone.set()
        return await asking

    assert asyncio.run(asyncio.wait_for(main(), 60)).status == 200
    wait_until_settled(before)


@pytest.mark.parametrize("query", ["?wait=30", "wait/?timeout=60", "logs/?wait=30"])
def test_long_polls_do_not_block_other_requests(acme: Tenant, token: str, query: str) -> None:
    [job] = submit(acme)
    before = count()

    def cancel() -> None:
        try:
            with tenant_context(acme):
                cancel_job(job_id=job.pk)
        finally:
            connection.close()

    async def main() -> tuple[int, Client]:
        application = RequestLimiter(get_asgi_application(), at_once=1)
        waiting = asyncio.create_task(Client(token, f"{JOBS}{job.pk}/{query}").ask(application))
        await asyncio.sleep(0)
        other = await Client(token, f"{JOBS}{job.pk}/").ask(application)
        assert not waiting.done()
        await asyncio.to_thread(cancel)
        return other.status, await waiting

    status, waited = asyncio.run(asyncio.wait_for(main(), 60))
    answered = json.loads(waited.body)
    assert (status, waited.status, answered.get("state") or answered["job_state"]) == (200, 200, "cancelled")
    wait_until_settled(before)
