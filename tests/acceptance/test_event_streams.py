"""Streams at the ASGI server: a disconnect loses nothing, and a revoked key ends its streams."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from scheduling.jobs.cancellation import cancel_jobs
from scheduling.models import Job
from tenants.access.api_keys import revoke_api_key
from tenants.context import tenant_context
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import event_names, submit, wait_for
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.acceptance.test_streams import median_connections
from tests.databases import TestDatabase, connect_as_owner
from tests.keys import issue_api_key

NAME = "event streams"
CLIENTS = 100
MOST_CONNECTIONS = 20


# Connections that a test has to close.
_open: list[Listener] = []


class Listener:
    """Client of a stream with a reading thread."""

    def __init__(self, port: int, token: str, path: str, last_event_id: str = "") -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        sent = {"Host": "localhost", "Accept": "text/event-stream", "Authorization": f"Api-Key {token}"}
        sent |= {"Last-Event-ID": last_event_id} if last_event_id else {}
        self.connection.request("GET", f"/api/v1/{path}", headers=sent)
        # A response that closes takes it from the connection.
        self._socket = self.connection.sock
        self.answer: HTTPResponse = self.connection.getresponse()
        _open.append(self)
        self.events: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.last_id = ""
        self.is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            while line := self.answer.readline():
                text = line.decode().rstrip("\n")
                if text:
                    name, _, value = text.partition(": ")
                    fields[name] = value
                elif fields:
                    self._take(fields)
                    fields = {}
        except (OSError, ValueError, AttributeError):
            pass  # disconnected by the test
        self.is_over = True

    def _take(self, fields: dict[str, str]) -> None:
        self.last_id = fields.get("id", self.last_id)
        if "event" in fields:
            self.names.append(fields["event"])
        elif "data" in fields:
            self.events.append(json.loads(fields["data"]))

    def cut(self) -> None:
        if not self.is_over:
            with suppress(OSError):  # the server may have been faster
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self.answer.close()
        self.connection.close()


@contextmanager
def streams(platform: Platform, **environment: str) -> Iterator[int]:
    port = free_port()
    process = platform.start_streams(port, PGAPPNAME=NAME, **environment)
    eventually(lambda: is_answering(f"127.0.0.1:{port}"), within=START_SECONDS, what="streams answers")
    try:
        yield port
    finally:
        while _open:
            _open.pop().cut()
        process.kill()


def received_events(listener: Listener, job: Job) -> list[str]:
    return [event["name"] for event in listener.events if event["job"] == str(job.pk)]


def test_stream_resumes_after_disconnect_without_losing_an_event(
    platform: Platform, acme: Tenant, globex: Tenant
) -> None:
    token = issue_api_key(tenant=acme, name="listening").token
    with streams(platform) as port:
        whole = Listener(port, token, "jobs/stream/")
        assert whole.answer.status == 200
        assert whole.answer.headers["Content-Type"].startswith("text/event-stream")
        eventually(lambda: whole.names == ["ready"], what="the stream is ready")
        first = Listener(port, token, "jobs/stream/", whole.last_id)
        [foreign] = submit(globex, "noop")
        [job] = submit(acme, "noop")
        eventually(lambda: "execution.completed" in received_events(whole, job), what="the job's end is received")
        eventually(lambda: received_events(first, job), what="the first client receives an event")
        first.cut()
        [later] = submit(acme, "noop")
        eventually(
            lambda: "execution.completed" in received_events(whole, later), what="the later job's end is received"
        )
        second = Listener(port, token, "jobs/stream/", first.last_id)
        eventually(lambda: len(first.events) + len(second.events) >= len(whole.events), what="the rest is received")

        ids = [event["id"] for event in first.events + second.events]
        assert ids == [event["id"] for event in whole.events]
        assert len(set(ids)) == len(ids)
        assert received_events(whole, job) == event_names(job)
        assert received_events(whole, foreign) == []

        of_job = Listener(port, token, f"jobs/{job.pk}/stream/")
        eventually(lambda: of_job.is_over, what="a stream of an ended job ends")
        assert (received_events(of_job, job), of_job.names) == (event_names(job), ["ready", "end"])
        assert Listener(port, token, f"jobs/{foreign.pk}/stream/").answer.status == 404
        assert Listener(port, token, "jobs/stream/", "nonsense").answer.status == 422


def test_streams_of_revoked_key_end(platform: Platform, acme: Tenant) -> None:
    issued = issue_api_key(tenant=acme, name="leaked")
    with streams(platform, STREAMS_PER_CALLER="2") as port:
        leaked = Listener(port, issued.token, "jobs/stream/")
        of_job = Listener(port, issued.token, f"jobs/{submit(acme, 'sleep', {'seconds': 60})[0].pk}/stream/")
        assert Listener(port, issued.token, "jobs/stream/").answer.status == 429
        eventually(lambda: "ready" in leaked.names and "ready" in of_job.names, what="both are ready")
        revoke_api_key(api_key=issued.key)
        eventually(lambda: leaked.is_over and of_job.is_over, what="the streams end")
        [job] = submit(acme, "noop")
        wait_for(job, "completed")
        assert received_events(leaked, job) == []
        assert leaked.names[-1] == of_job.names[-1] == "end"


def test_many_clients_share_one_reader(platform: Platform, acceptance_database: TestDatabase, acme: Tenant) -> None:
    token = issue_api_key(tenant=acme, name="many").token
    with (
        streams(platform, STREAMS_PER_CALLER=str(CLIENTS)) as port,
        connect_as_owner(acceptance_database.name) as owner,
    ):
        clients = [Listener(port, token, "jobs/stream/") for _ in range(CLIENTS)]
        eventually(lambda: all("ready" in each.names for each in clients), what="every client is connected")
        assert median_connections(owner, acceptance_database.name, NAME) <= MOST_CONNECTIONS
        [job] = submit(acme, "sleep", {"seconds": 120})
        wait_for(job, "executing")
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
        eventually(
            lambda: all("job.cancelled" in received_events(each, job) for each in clients),
            what="every client has received the cancellation",
        )
        assert {tuple(event["id"] for event in each.events) for each in clients} == {
            tuple(event["id"] for event in clients[0].events)
        }
