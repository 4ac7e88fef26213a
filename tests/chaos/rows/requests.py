"""Requests without a response, and requests repeated fifty times."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.proxy import Pair, Proxy
from tests.chaos.client import CREATED
from tests.chaos.history import ACCEPTED
from tests.chaos.row import Field, Row
from tests.chaos.servers import HOST
from tests.chaos.stack import Shape, Stack


class ResponseDropper:
    """Tap that drops the next response once armed: the request is executed, but its client gets no response."""

    def __init__(self) -> None:
        self.armed = threading.Event()
        self.swallowed = threading.Event()

    def arm(self) -> None:
        self.swallowed.clear()
        self.armed.set()

    def __call__(self, pair: Pair, is_reply: bool, data: bytes) -> bool:
        if is_reply and self.armed.is_set():
            self.armed.clear()
            self.swallowed.set()
            return False
        return True


class ResponseLost(Row):
    id, fault = "D1", "the API killed after the COMMIT, before its response"
    bound_seconds, measured = 30.0, "from the kill until the same key is answered; one job"
    traffic = None
    # The dropped response must be the row's.
    is_watched = False
    ROUNDS = 2
    proxy: Proxy | None = None

    def prepare(self, stack: Stack) -> None:
        self.dropper = ResponseDropper()
        self.proxy = Proxy((HOST, stack.web_port), tap=self.dropper)
        stack.front_port = self.proxy.port

    def inject(self, field: Field) -> list[float]:
        return [self._drop_response(field) for _ in range(self.ROUNDS)]

    def _drop_response(self, field: Field) -> float:
        field.wait(0.0, 1.0)
        assert field.stack.web is not None
        request = field.client.prepare(field.tenants[2], "chaos_steps", {"steps": 2, "seconds": 0.1})
        self.dropper.arm()
        reply = field.client.send(request)
        if reply.status is not None or not self.dropper.swallowed.is_set():
            field.violations.append(f"the response was not lost: {reply}")
        killed_at = time.time()
        field.stack.web.kill()
        field.stack.until(
            lambda: field.client.send(request).status in ACCEPTED, within=field.patience_seconds, what="it is answered"
        )
        return time.time() - killed_at

    def tear_down(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


class SameKey(Row):
    id, fault = "D2", "the same key fifty times at once, three times"
    bound_seconds, measured = 15.0, "until all fifty have a response; one job"
    TIMES = 50
    ROUNDS = 3
    shape = Shape(workers=1, slots=2)

    def inject(self, field: Field) -> list[float]:
        return [self._send_at_once(field) for _ in range(self.ROUNDS)]

    def _send_at_once(self, field: Field) -> float:
        field.wait(0.0, 2.0)
        request = field.client.prepare(field.tenants[1], "chaos_steps", {"steps": 1})
        gate = threading.Barrier(self.TIMES)
        deadline = time.monotonic() + field.patience_seconds

        def ask() -> None:
            gate.wait()
            # 409 means that the first is in flight, and gets a response when it is done. Without a response: repeat.
            while field.client.send(request).status in {409, None} and time.monotonic() < deadline:
                time.sleep(0.1)

        began = time.monotonic()
        with ThreadPoolExecutor(self.TIMES) as pool:
            for future in [pool.submit(ask) for _ in range(self.TIMES)]:
                future.result()
        seconds = time.monotonic() - began
        # The load repeats unanswered requests too, so it may be the first; its response may be counted a moment late.
        field.stack.until(
            lambda: any(reply.status == CREATED for reply in request.replies),
            within=field.patience_seconds,
            what="one of fifty creates the job",
        )
        statuses = Counter(reply.status for reply in request.replies if reply.status is not None)
        if statuses[CREATED] != 1 or statuses.keys() - {CREATED, 200, 409} or statuses[200] < self.TIMES - 1:
            field.violations.append(f"fifty times the same key was answered with {dict(statuses)}")
        return seconds


ROWS = (ResponseLost, SameKey)
