"""Streams at the ASGI server: a cut loses nothing, and whoever loses the right hears no more."""

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
from tests.acceptance.acts import event_names, submit, wait_for
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.processes import eventually
from tests.acceptance.test_platform import free_port, is_answering
from tests.acceptance.test_streams import usual_connections
from tests.databases import TestDatabase, connect_as_owner
from tests.keys import issue_api_key

NAME = "event streams"
CLIENTS = 100
MOST_CONNECTIONS = 20


# Those that a test has to close.
_open: list[Listener] = []


class Listener:
    """A client of a stream, read by a thread of its own."""

    def __init__(self, port: int, token: str, path: str, last_event_id: str = "") -> None:
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        sent = {"Host": "localhost", "Accept": "text/event-stream", "Authorization": f"Api-Key {token}"}
        sent |= {"Last-Event-ID": last_event_id} if last_event_id else {}
        self.connection.request("GET", f"/api/v1/{path}", headers=sent)
        # An answer that closes takes it from the connection.
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
            pass  # the test has cut it off
        self.is_over = True

    def _take(self, fields: dict[str, str]) -> None:
        self.last_id = fields.get("id", self.last_id)
        if "event" in fields:
            self.names.append(fields["event"])
        elif "data" in fields:
            self.events.append(json.loads(fields["data"]))

    def cut(self) -> None:
        if not self.is_over:
            with suppress(OSError):  # the server may have been quicker
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


def told(listener: Listener, job: Job) -> list[str]:
    return [event["name"] for event in listener.events if event["job"] == str(job.pk)]


def test_a_stream_tells_what_happens_and_a_cut_loses_nothing(platform: Platform, acme: Tenant, globex: Tenant) -> None:
    token = issue_api_key(tenant=acme, name="listening").token
    with streams(platform) as port:
        whole = Listener(port, token, "jobs/stream/")
        assert whole.answer.status == 200
        assert whole.answer.headers["Content-Type"].startswith("text/event-stream")
        eventually(lambda: whole.names == ["ready"], what="the stream is ready")
        first = Listener(port, token, "jobs/stream/", whole.last_id)
        [foreign] = submit(globex, "noop")
        [job] = submit(acme, "noop")
        eventually(lambda: "execution.completed" in told(whole, job), what="the job's end is told")
        eventually(lambda: told(first, job), what="the first client hears of it")
        first.cut()
        [later] = submit(acme, "noop")
        eventually(lambda: "execution.completed" in told(whole, later), what="the later job's end is told")
        second = Listener(port, token, "jobs/stream/", first.last_id)
        eventually(lambda: len(first.events) + len(second.events) >= len(whole.events), what="the rest is told")

        ids = [event["id"] for event in first.events + second.events]
        assert ids == [event["id"] for event in whole.events]
        assert len(set(ids)) == len(ids)
        assert told(whole, job) == event_names(job)
        assert told(whole, foreign) == []

        of_job = Listener(port, token, f"jobs/{job.pk}/stream/")
        eventually(lambda: of_job.is_over, what="a stream of an ended job ends")
        assert (told(of_job, job), of_job.names) == (event_names(job), ["ready", "end"])
        assert Listener(port, token, f"jobs/{foreign.pk}/stream/").answer.status == 404
        assert Listener(port, token, "jobs/stream/", "nonsense").answer.status == 422


def test_whoever_loses_the_right_hears_no_more(platform: Platform, acme: Tenant) -> None:
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
        assert told(leaked, job) == []
        assert leaked.names[-1] == of_job.names[-1] == "end"


def test_many_clients_share_one_reader(platform: Platform, acceptance_database: TestDatabase, acme: Tenant) -> None:
    token = issue_api_key(tenant=acme, name="many").token
    with (
        streams(platform, STREAMS_PER_CALLER=str(CLIENTS)) as port,
        connect_as_owner(acceptance_database.name) as owner,
    ):
        clients = [Listener(port, token, "jobs/stream/") for _ in range(CLIENTS)]
        eventually(lambda: all("ready" in each.names for each in clients), what="everybody is connected")
        assert usual_connections(owner, acceptance_database.name, NAME) <= MOST_CONNECTIONS
        [job] = submit(acme, "sleep", {"seconds": 120})
        wait_for(job, "executing")
        with tenant_context(acme):
            cancel_jobs(job_ids=[job.pk])
        eventually(lambda: all("job.cancelled" in told(each, job) for each in clients), what="everybody has heard")
        assert {tuple(event["id"] for event in each.events) for each in clients} == {
            tuple(event["id"] for event in clients[0].events)
        }
