"""Faults of Valkey: killed, emptied, away, or half-open."""

from __future__ import annotations

import time

import redis

from jobsplatform.embedded.valkey import ADMINISTRATOR
from scheduling.dispatch.broker_types import expected_types
from tests.acceptance.proxy import Proxy
from tests.chaos.health_checks import BY_RULE
from tests.chaos.history import ACCEPTED
from tests.chaos.load import Traffic
from tests.chaos.row import Field, Row
from tests.chaos.servers import HOST
from tests.chaos.stack import Shape, Stack


class BrokerRestarted(Row):
    id, fault = "R1", "Valkey killed, restarted empty after up to 3 s"
    bound_seconds, measured = 15.0, "from its return to the start of the last job whose message it had"

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        field.stack.servers.kill_broker()
        field.wait(0.2, 3.0)
        lost = field.view.unstarted()
        field.stack.servers.start_broker()
        back_at = time.time()
        return [max(field.next_start(back_at), field.resumed_after(lost, back_at) if lost else 0.0)]


class BrokerEmptied(Row):
    id, fault = "R2", "FLUSHALL in mid-load, five times"
    bound_seconds, measured = 15.0, "from the flush to the start of the last job whose message was lost"
    traffic = Traffic(per_second=5.0)

    def inject(self, field: Field) -> list[float]:
        recoveries = []
        with redis.Redis.from_url(field.stack.addresses.broker_url(user=ADMINISTRATOR)) as client:
            for _ in range(5):
                field.wait(0.2, 2.0)
                client.flushall()
                flushed_at = time.time()
                lost = field.view.unstarted()
                recoveries.append(field.resumed_after(lost, flushed_at) if lost else field.next_start(flushed_at))
        return recoveries


class BrokerAway(Row):
    id, fault = "R3", "Valkey down for 60 s"
    minutes = 3.0
    bound_seconds, measured = 5.0, "from its return to the next start; every request is accepted meanwhile"
    seeds = 1
    AWAY_SECONDS = 60.0
    # By then more jobs wait than the tenants' caps allow at once.
    drain_seconds = 240.0
    traffic = Traffic(per_second=2.0)

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 2.0)
        field.stack.servers.kill_broker()
        away_at = time.time()
        field.wait(self.AWAY_SECONDS, self.AWAY_SECONDS)
        field.stack.servers.start_broker()
        back_at = time.time()
        recovery = field.next_start(back_at)
        field.violations += refused_between(field, away_at, back_at)
        return [recovery]


def refused_between(field: Field, since: float, until: float) -> list[str]:
    """Return the API's responses within a time that are no acceptances, besides refusals by a rule of load."""
    replies = [
        reply
        for request in list(field.client.requests)
        for reply in list(request.replies)
        if since <= reply.at <= until
    ]
    answered = [reply for reply in replies if reply.code != BY_RULE]
    refused = [f"the API answered {reply.status} {reply.code}" for reply in answered if reply.status not in ACCEPTED]
    return refused[:5] if answered else ["no request was answered while the broker was away"]


class HalfOpen(Row):
    id, fault = "R6", "all connections to Valkey half-open"
    minutes = 2.5
    bound_seconds, measured = 30.0, "until a job submitted then begins"
    shape = Shape(workers=1, slots=2)
    traffic = None
    proxy: Proxy | None = None

    def prepare(self, stack: Stack) -> None:
        self.proxy = Proxy((HOST, stack.addresses.broker_port))
        urls = {
            "REDIS_URL": stack.addresses.broker_url(port=self.proxy.port),
            "CACHE_URL": stack.addresses.broker_url(port=self.proxy.port, number=1),
        }
        for environment in stack.environment.values():
            environment.update(urls)

    def inject(self, field: Field) -> list[float]:
        field.ended([field.job_of(field.submit(0, "chaos_steps", {"steps": 1}))], within=field.patience_seconds)
        # By then the worker answers canaries; before, a stopped reader cannot be detected.
        answered = "SELECT count(*) FROM scheduling_worker WHERE status = 'online' AND canary_at IS NOT NULL"
        field.stack.until(lambda: field.view.number(answered), within=60, what="the worker answers canaries")
        field.wait(0.0, 5.0)
        assert self.proxy is not None
        self.proxy.freeze()
        frozen_at = time.time()
        return [field.all_started([field.job_of(field.submit(0, "chaos_steps", {"steps": 1}))], frozen_at)]

    def tear_down(self) -> None:
        if self.proxy is not None:
            self.proxy.close()


class KeysReplaced(Row):
    id, fault = "R7", "each key of Valkey is replaced by one of another type, five times, and these stay"
    bound_seconds, measured = 15.0, "from the replacement until a job submitted then begins; all workers live"
    traffic = Traffic(per_second=5.0)

    def inject(self, field: Field) -> list[float]:
        before = self._workers(field)
        recoveries = []
        for _ in range(5):
            field.wait(0.2, 2.0)
            self._replace_keys(field)
            recoveries.append(field.fresh_start(time.time()))
        if gone := before - self._workers(field):
            field.violations.append(f"{len(gone)} of {len(before)} workers ended")
        return recoveries

    def _replace_keys(self, field: Field) -> None:
        """Put a stream, which has no valid use, under every existing and possible key."""
        queues = [name for (name,) in field.view.rows("SELECT name FROM scheduling_queue")]
        for number in (0, 1):
            url = field.stack.addresses.broker_url(user=ADMINISTRATOR, number=number)
            with redis.Redis.from_url(url) as client:
                planted = [key.encode() for key in expected_types(queues)] if number == 0 else []
                for key in {*client.scan_iter(count=1_000), *planted}:
                    client.pipeline().delete(key).xadd(key, {"garbage": 1}).execute()

    @staticmethod
    def _workers(field: Field) -> set[object]:
        live = "SELECT id FROM scheduling_worker WHERE status IN ('online', 'draining')"
        return {worker_id for (worker_id,) in field.view.rows(live)}


ROWS = (BrokerRestarted, BrokerEmptied, BrokerAway, HalfOpen, KeysReplaced)
