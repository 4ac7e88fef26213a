"""Messages that are repeated, reordered, late, lost or forged.

The dispatcher and the workers have separate databases of the broker; a carrier between them treats the messages as the
row requires.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import redis

from tenants.settings.schema import _kept as kept_settings
from tenants.settings.schema import settings_of
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.stack import NAMES, Shape, Stack
from tests.platform_settings import override_platform_settings

# Database that the dispatcher and web servers write, and database that the workers read.
OUT, IN = 2, 0
LOOK_SECONDS = 0.005
_QUEUES = "SELECT name FROM scheduling_queue"


class MessageCarrier(threading.Thread):
    """Thread that transfers messages, with the current treatment."""

    def __init__(self, stack: Stack, queues: list[str]) -> None:
        super().__init__(name="carrier", daemon=True)
        self._out = redis.Redis.from_url(stack.addresses.broker_url(number=OUT))
        self.inbox = redis.Redis.from_url(stack.addresses.broker_url(number=IN))
        self.queues = queues
        self._stopped = threading.Event()
        self._held: list[tuple[float, str, bytes]] = []
        self.treatment: Treatment | None = None
        self.carried = 0

    def run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            self._collect()
            now = time.monotonic()
            due = [held for held in self._held if held[0] <= now]
            self._held = [held for held in self._held if held[0] > now]
            for _, queue, message in sorted(due, key=lambda held: held[0]):
                self.inbox.lpush(queue, message)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _collect(self) -> None:
        treatment, now = self.treatment, time.monotonic()
        for queue in self.queues:
            while (message := self._out.rpop(queue)) is not None:
                self.carried += 1
                copies = [(0.0, message)] if treatment is None else treatment.carry(message)
                self._held += [(now + delay, queue, copy) for delay, copy in copies]


class Treatment:
    """Treatment of a message: the copies that are delivered, and when."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = random.Random(rng.random())

    def carry(self, message: bytes) -> list[tuple[float, bytes]]:
        return [(0.0, message)]


class MessageRow(Row):
    """Row that sends its messages through a treatment, then one ordinary job."""

    bound_seconds = 17.0
    measured = "from its end to the start of the last job dispatched by then; the worker lives"
    shape = Shape(workers=1, slots=3)
    traffic = Traffic(per_second=3.0)
    SECONDS = 10.0
    carrier: MessageCarrier | None = None

    def prepare(self, stack: Stack) -> None:
        for role in ("web", "dispatcher"):
            stack.environment[role]["REDIS_URL"] = stack.addresses.broker_url(number=OUT)
        self.carrier = MessageCarrier(stack, [name for (name,) in stack.view.rows(_QUEUES)])
        self.carrier.start()

    @abstractmethod
    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment | None:
        """Return the treatment of this row, or None if its fault does not affect messages in transit."""

    def await_effect(self, field: Field, has_passed: Callable[[], bool]) -> None:
        """Return once the treatment has had something to treat."""
        field.await_effect(has_passed, "no message passed", lambda: field.wait(0.5, 0.5))

    def inject(self, field: Field) -> list[float]:
        (worker,), carrier = field.stack.workers, self.carrier
        assert carrier is not None
        field.wait(0.0, 1.0)
        carried = carrier.carried
        carrier.treatment = self.begin(carrier, field)
        field.wait(self.SECONDS, self.SECONDS)
        self.await_effect(field, lambda: carrier.carried > carried)
        carrier.treatment = None
        ended_at = time.time()
        waiting = field.view.unstarted()
        recovery = field.resumed_after(waiting, ended_at) if waiting else field.next_start(ended_at)
        if not worker.is_running or worker not in field.stack.workers:
            field.violations.append("the consumer crashed on a message")
        return [recovery]

    def tear_down(self) -> None:
        if self.carrier is not None:
            self.carrier.stop()


class Repeated(MessageRow):
    id, fault = "M1", "each message a hundred times"

    class Copies(Treatment):
        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            return [(self.rng.uniform(0, 2), message) for _ in range(99)] + [(0.0, message)]

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        return self.Copies(field.rng)


class Reordered(MessageRow):
    id, fault = "M2", "messages in another order"

    class Shuffled(Treatment):
        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            return [(self.rng.uniform(0, 2), message)]

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        return self.Shuffled(field.rng)


class Late(MessageRow):
    id, fault = "M3", "a third of the messages up to 25 s late, after they were sent again"

    class Delayed(Treatment):
        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            return [(self.rng.uniform(14, 25) if self.rng.random() < 0.33 else 0.0, message)]

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        return self.Delayed(field.rng)


class Dropped(MessageRow):
    id, fault = "M4", "20 % of the messages dropped"

    class Lost(Treatment):
        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            return [] if self.rng.random() < 0.2 else [(0.0, message)]

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        return self.Lost(field.rng)


class Forged(MessageRow):
    id, fault = "M5", "forged headers, tokens, ids and tasks beside each message; forged work and settings"

    class Forgeries(Treatment):
        def carry(self, message: bytes) -> list[tuple[float, bytes]]:
            return (
                [(0.0, forge(message, self.rng)) for _ in range(3)]
                + [(0.0, forge_work(message, self.rng, NAMES[0]))]
                + [(0.0, message)]
            )

    def begin(self, carrier: MessageCarrier, field: Field) -> Treatment:
        self._runs = field.view.number(_RUNS)
        forge_settings(field.stack)
        return self.Forgeries(field.rng)

    def inject(self, field: Field) -> list[float]:
        recoveries = super().inject(field)
        # No client has submitted a job of these, which the checks also find; only forgeries request this task.
        if field.view.number(_FORGED):
            field.violations.append("a forged submission made a job")
        if field.view.number(_RUNS) != self._runs:
            field.violations.append("a forged message ran upkeep")
        if read_zone(field.stack) == FORGED_ZONE:
            field.violations.append("forged settings took effect")
        return recoveries


FORGED_KEY, FORGED_ZONE = "forged", "Pacific/Kiritimati"
_FORGED = "SELECT count(*) FROM scheduling_job WHERE fair_key = 'forged'"
_RUNS = "SELECT count(*) FROM scheduling_upkeep_run WHERE name = 'partitions'"


def forge_work(message: bytes, rng: random.Random, tenant: str) -> bytes:
    """Return the message changed to request a job or upkeep, with the original's signature or none."""
    changed: dict[str, Any] = json.loads(message)
    task, args, kwargs = rng.choice(
        [
            ("scheduling.submit", [], {"tenant": tenant, "kind": "noop", "fair_key": FORGED_KEY}),
            ("scheduling.run_upkeep", ["partitions"], {}),
        ]
    )
    changed["headers"] |= {"task": task, "id": str(uuid.UUID(int=rng.getrandbits(128)))}
    if rng.random() < 0.5:
        changed["headers"].pop("signature", None)
    changed["body"] = base64.b64encode(json.dumps([args, kwargs, {}]).encode()).decode()
    return json.dumps(changed).encode()


def forge_settings(stack: Stack) -> None:
    """Store a forged time zone of a tenant in the cache of its settings."""
    with redis.Redis.from_url(stack.addresses.broker_url(number=1)) as cache:
        cache.set(_place_of_settings(stack), json.dumps({"timezone": FORGED_ZONE}), px=60_000)


def read_zone(stack: Stack) -> str:
    """Return the tenant's time zone as this process of the platform reads it."""
    forge_settings(stack)
    with override_platform_settings(CONFIGURATION_CACHE_SECONDS=60.0):
        return str(settings_of(stack.tenants[0].pk)["timezone"])


def _place_of_settings(stack: Stack) -> str:
    return kept_settings._name_of(str(stack.tenants[0].pk))


def forge(message: bytes, rng: random.Random) -> bytes:
    """Return the message as an attacker with one message would forge it: some headers, its body or its task differ."""
    changed: dict[str, Any] = json.loads(message)
    headers, body = changed["headers"], json.loads(base64.b64decode(changed["body"]))
    match rng.randrange(5):
        case 0:
            headers |= {"timelimit": [0.001, 0.001], "expires": "2001-01-01T00:00:00+00:00", "retries": 99}
            body[0][1] = str(uuid.UUID(int=rng.getrandbits(128)))
        case 1:
            headers |= {"tenant": "globex", "stamps": {"x": [1]}, "stamped_headers": ["x"], "group": "unknown"}
            body[0][1] = str(uuid.UUID(int=rng.getrandbits(128)))
        case 2:
            body[0][0] = [str(uuid.UUID(int=rng.getrandbits(128))) for _ in range(50)]
        case 3:
            headers["task"] = rng.choice(["celery.backend_cleanup", "celery.chain", "os.system", "scheduling.nothing"])
        case _:
            body[2] |= {"callbacks": [{"task": "celery.chord"}], "chain": [{"task": "scheduling.execute"}]}
            body[0] = [{"execution_ids": body[0][0]}, None]
    changed["body"] = base64.b64encode(json.dumps(body).encode()).decode()
    return json.dumps(changed).encode()


class Malformed(MessageRow):
    id, fault = "M6", "invalid JSON, half a message, no task, 50 MB, unknown task"
    GREAT = 50 * 1024 * 1024

    def begin(self, carrier: MessageCarrier, field: Field) -> None:
        honest = {"content-type": "application/json", "content-encoding": "utf-8", "headers": {}, "body": "e30="}
        for message in [
            b"\x80\x04\xff\x00 no message",
            b"{",
            b"null",
            b"[]",
            b'{"body": 1}',
            json.dumps(honest).encode(),
            json.dumps({**honest, "properties": {"delivery_tag": "1", "delivery_info": {}}}).encode(),
            json.dumps({**honest, "headers": {"task": "no.such.task", "id": "1"}, "properties": _PROPERTIES}).encode(),
            json.dumps({**honest, "properties": _PROPERTIES, "body": "A" * self.GREAT}).encode(),
        ]:
            carrier.inbox.lpush(field.rng.choice(carrier.queues), message)


_PROPERTIES = {
    "correlation_id": "1",
    "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": "x"},
    "priority": 0,
    "body_encoding": "base64",
    "delivery_tag": "1",
}

ROWS = (Repeated, Reordered, Late, Dropped, Forged, Malformed)
