"""A thread of the web server stays with a connection that asks again at once, and with no other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from jobsplatform import web_worker
from jobsplatform.web_worker import AttentiveWorker
from tenants.receiving import cut_off_slow_clients, receipt_of


class Connection:
    """A client's, of which the server has read ahead what ``buffered`` says."""

    def __init__(self) -> None:
        self.sock, self.client = socket.socketpair()
        self.buffered = BytesIO()
        self.is_http2 = False
        self.rests_read = 0
        self.parser = SimpleNamespace(unreader=SimpleNamespace(buf=self.buffered), finish_body=self._read_rest)

    def _read_rest(self, *, deadline: float, max_bytes: int) -> bool:
        del deadline, max_bytes
        self.rests_read += 1
        return True

    def close(self) -> None:
        self.sock.close()
        self.client.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    made = Connection()
    yield made
    made.close()


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker that answers with what stands in ``answers``, and calls what comes with it."""
    made: Any = object.__new__(AttentiveWorker)
    made.alive = True
    made.waiting = 0
    made.answers = []
    made.served = 0
    made.tpool = SimpleNamespace(_work_queue=SimpleNamespace(qsize=lambda: made.waiting))

    def handle(self: Any, conn: Connection) -> object:
        self.served += 1
        answer, meanwhile = self.answers.pop(0)
        meanwhile(conn)
        return answer

    monkeypatch.setattr(ThreadWorker, "handle", handle)
    # What is not there at once does not come in this test.
    monkeypatch.setattr(web_worker, "PATIENCE_MS", 0)
    return made


def ask(conn: Connection) -> None:
    conn.client.send(b"GET /")


def rest(conn: Connection) -> None:
    conn.sock.recv(1_000)


def test_a_client_that_asks_again_keeps_its_thread(worker: Any, connection: Connection) -> None:
    worker.answers = [(True, ask), (True, lambda conn: None), (True, rest)]
    assert worker.handle(connection) is True
    assert worker.served == 3


def test_what_was_read_ahead_is_another_request(worker: Any, connection: Connection) -> None:
    def read_ahead(conn: Connection) -> None:
        conn.buffered.write(b"GET /")

    def read(conn: Connection) -> None:
        conn.buffered.truncate(0)

    worker.answers = [(True, read_ahead), (True, read)]
    assert worker.handle(connection) is True
    assert worker.served == 2


@pytest.mark.parametrize("answer", [False, _DEFER])
def test_what_is_for_the_main_thread_goes_there(worker: Any, connection: Connection, answer: object) -> None:
    worker.answers = [(answer, ask)]
    assert worker.handle(connection) is answer
    assert worker.served == 1


def test_whoever_waits_for_a_thread_comes_first(worker: Any, connection: Connection) -> None:
    def come(conn: Connection) -> None:
        ask(conn)
        worker.waiting = 1

    worker.answers = [(True, ask), (True, come)]
    assert worker.handle(connection) is True
    assert worker.served == 2


def test_whoever_comes_while_the_thread_looks_comes_first_too(worker: Any, connection: Connection) -> None:
    looks = iter([0, 1])
    worker.tpool = SimpleNamespace(_work_queue=SimpleNamespace(qsize=lambda: next(looks)))
    worker.answers = [(True, ask)]
    assert worker.handle(connection) is True
    assert worker.served == 1


@pytest.mark.parametrize(("answer", "rests"), [(False, 1), (_DEFER, 0)])
def test_rest_of_a_body_is_read_before_a_connection_is_closed(
    worker: Any, connection: Connection, answer: object, rests: int
) -> None:
    worker.answers = [(answer, lambda _conn: None)]
    assert worker.handle(connection) is answer
    assert connection.rests_read == rests


def test_a_worker_that_stops_takes_no_more(worker: Any, connection: Connection) -> None:
    def stop(conn: Connection) -> None:
        ask(conn)
        worker.alive = False

    worker.answers = [(True, stop)]
    assert worker.handle(connection) is True
    assert worker.served == 1


def test_a_client_that_has_hung_up_is_left_to_gunicorn(worker: Any, connection: Connection) -> None:
    def hang_up(conn: Connection) -> None:
        conn.client.close()

    # Its socket can be read: gunicorn finds the end there.
    worker.answers = [(True, hang_up), (False, lambda conn: None)]
    assert worker.handle(connection) is False


def test_connection_of_a_client_that_was_cut_off_is_not_kept(
    worker: Any, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RECEIVE_GRACE_SECONDS", 0.0)

    def cut_off(conn: Connection) -> None:
        ask(conn)
        cut_off_slow_clients()

    worker.answers = [(True, cut_off)]
    assert worker.handle(connection) is False
    assert receipt_of({"gunicorn.socket": connection.sock}) is None


def test_client_whose_request_is_there_is_not_cut_off(
    worker: Any, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "RECEIVE_GRACE_SECONDS", 0.0)

    def end(conn: Connection) -> None:
        receipt = receipt_of({"gunicorn.socket": conn.sock})
        assert receipt is not None
        receipt.end()
        cut_off_slow_clients()

    worker.answers = [(True, end)]
    assert worker.handle(connection) is True


def test_every_way_to_start_the_web_server_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(settings.BASE_DIR))
    monkeypatch.setattr("sys.argv", ["gunicorn", "--threads=2", "jobsplatform.wsgi"])
    assert WSGIApplication().cfg.worker_class is AttentiveWorker
