"""Clients that upload, send at the limits, or send slowly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from scheduling.conf import MAX_PAYLOAD_BYTES, MAX_RESULT_BYTES
from tests.chaos.client import CREATED
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.servers import HOST
from tests.chaos.spans import SpanRow
from workloads.files.models import UploadedFile

_FILES = f"SELECT count(*) FROM {UploadedFile._meta.db_table}"
_CONTENT = 20_000


class UploadsKilled(Row):
    id, fault = "D11", "kill -9 of the web server and its children five times under four clients that upload files"
    bound_seconds, measured = 30.0, "from the last kill until a job submitted then is accepted and begins"
    traffic = Traffic(per_second=1.0)

    def inject(self, field: Field) -> list[float]:
        stopped = threading.Event()

        def upload(number: int) -> int:
            accepted = 0
            while not stopped.wait(0.05):
                name = f"{number}-{accepted}.txt"
                accepted += field.client.upload(field.tenants[number % 3], name, b"x\n" * _CONTENT) == CREATED
            return accepted

        with ThreadPoolExecutor(4) as pool:
            uploads = [pool.submit(upload, number) for number in range(4)]
            try:
                for _ in range(5):
                    field.wait(1.5, 3.0)
                    assert field.stack.web is not None
                    field.stack.web.kill()
                recovery = field.fresh_start(time.time())
            finally:
                stopped.set()
            accepted = sum(one.result() for one in uploads)
        if not accepted or (stored := int(field.view.number(_FILES))) < accepted:
            field.violations.append(f"{accepted} uploads were accepted, and {stored if accepted else 0} are stored")
        return [recovery]


class AtTheLimits(Row):
    id, fault = (
        "D12",
        "payloads of the greatest size, of one byte and of two a character; results that are too large",
    )
    bound_seconds, measured = 60.0, "until all have ended: the payloads' jobs complete, the results are dead letters"
    JOBS = 12

    def inject(self, field: Field) -> list[float]:
        began_at = time.time()
        room = MAX_PAYLOAD_BYTES - len('{"steps": 1, "ballast": ""}') - 64
        completed = [
            field.job_of(field.submit(number % 3, "chaos_steps", {"steps": 1, "ballast": character * (room // size)}))
            for number in range(self.JOBS)
            for character, size in [("x", 1) if number % 2 else ("é", 2)]
        ]
        discarded = [
            field.job_of(field.submit(number % 3, "chaos_steps", {"steps": 1, "result_bytes": size}))
            for number, size in enumerate([MAX_RESULT_BYTES, 10 * MAX_RESULT_BYTES, 1_000 * MAX_RESULT_BYTES])
        ]
        field.ended(completed, within=field.patience_seconds)
        field.ended(discarded, within=field.patience_seconds, state="discarded")
        return [time.time() - began_at]


class SlowClients(SpanRow):
    id, fault = "D24", "as many connections as the web server has threads send half a request, a byte a second"
    bound_seconds, measured = 75.0, "until they are disconnected, and a job submitted meanwhile is accepted and begins"
    minutes = 2.0
    CLIENTS = 2
    HEAD = b"POST /api/v1/jobs/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{"

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        with ExitStack() as held:
            ends = [
                held.enter_context(socket.create_connection((HOST, field.stack.web_port))) for _ in range(self.CLIENTS)
            ]
            for number, end in enumerate(ends):
                end.sendall(self.HEAD if number % 2 else self.HEAD[:40])
            stopped = threading.Event()

            def drip() -> None:
                while not stopped.wait(1.0):
                    for end in ends:
                        try:
                            end.send(b" ")
                        except OSError:
                            continue

            thread = threading.Thread(target=drip, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stopped.set()
                thread.join()

    def inject(self, field: Field) -> list[float]:
        with self.hold(field):
            return [field.fresh_start(time.time())]


ROWS = (UploadsKilled, AtTheLimits, SlowClients)
