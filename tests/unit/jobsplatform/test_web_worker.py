"""The web server's worker with slow clients and unread bodies."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.conf import settings
from gunicorn.app.wsgiapp import WSGIApplication
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from jobsplatform.web_worker import SlowClientWorker
from tenants.requests.bodies import cut_off_slow_clients, receipt_of
from tests.platform_settings import ChangePlatformSettings

type Serve = Callable[[object, Callable[[], None]], SlowClientWorker]


class Connection:
    """Connection of a client."""

    def __init__(self) -> None:
        self.sock, self.client = socket.socketpair()
        self.is_http2 = False
        self.rests_read = 0
        self.parser = SimpleNamespace(finish_body=self._read_rest)

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
def serving(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Return a function that makes a worker whose gunicorn method runs an action and then returns ``answer``."""

    def make(answer: object, meanwhile: Callable[[], None] = lambda: None) -> SlowClientWorker:
        def handle(_worker: ThreadWorker, _conn: Connection) -> object:
            meanwhile()
            return answer

        monkeypatch.setattr(ThreadWorker, "handle", handle)
        made: SlowClientWorker = object.__new__(SlowClientWorker)
        return made

    return make


@pytest.mark.parametrize("answer", [True, False, _DEFER])
def test_answer_of_gunicorn_is_returned_after_one_request(
    serving: Serve, connection: Connection, answer: object
) -> None:
    connection.client.send(b"GET /")  # a second request, which the main thread passes on
    assert serving(answer).handle(connection) is answer


@pytest.mark.parametrize(("answer", "rests"), [(False, 1), (True, 0), (_DEFER, 0)])
def test_rest_of_a_body_is_read_before_a_connection_is_closed(
    serving: Serve, connection: Connection, answer: object, rests: int
) -> None:
    serving(answer).handle(connection)
    assert connection.rests_read == rests


def test_connection_of_slow_client_is_not_kept(
    serving: Serve, connection: Connection, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(RECEIVE_GRACE_SECONDS=0.0)
    assert serving(True, cut_off_slow_clients).handle(connection) is False
    assert receipt_of({"gunicorn.socket": connection.sock}) is None


def test_client_with_complete_request_is_not_cut_off(
    serving: Serve, connection: Connection, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(RECEIVE_GRACE_SECONDS=0.0)

    def end() -> None:
        receipt = receipt_of({"gunicorn.socket": connection.sock})
        assert receipt is not None
        receipt.end()
        cut_off_slow_clients()

    assert serving(True, end).handle(connection) is True


def test_gunicorn_configuration_selects_the_worker_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(settings.BASE_DIR))
    monkeypatch.setattr("sys.argv", ["gunicorn", "--threads=2", "jobsplatform.wsgi"])
    assert WSGIApplication().cfg.worker_class is SlowClientWorker
