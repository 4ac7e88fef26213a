"""Load above the capacity, and forced load states, while the processes that measure and refuse are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.models import Action, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.service import force_level, release_level
from tenants.context import acting_as, all_tenants, command_actor
from tests.chaos.history import ACCEPTED, UNAVAILABLE
from tests.chaos.row import INCONCLUSIVE, Field, Row
from tests.chaos.spans import ProxiedRow
from tests.chaos.stack import Shape

_LEVEL = "SELECT coalesce(max(level), 0) FROM scheduling_load_state"
_MEASURED = "SELECT coalesce(extract(epoch FROM max(measured_at)), 0)::float8 FROM scheduling_load_state"
# A refusal starts within this time: the first step of a tier's part, and the time for which processes keep the states.
REFUSED_SECONDS = 30.0
SHED_KIND, OTHER_KIND = "chaos_steps", "sleep"


@contextmanager
def refusing(field: Field, from_level: Level) -> Iterator[None]:
    """Refuse the jobs of one kind from a level on."""
    with acting_as(command_actor("chaos")):
        values = {
            "name": f"chaos {field.rng.random():.6f}",
            "position": 1,
            "from_level": from_level,
            "action": Action.REFUSE,
            "kind": SHED_KIND,
        }
        with all_tenants():
            SheddingRule.objects.all().delete()
            rule = SHEDDING_RULES.save(SheddingRule(), values)
    try:
        yield
    finally:
        with all_tenants():
            rule.delete()


@contextmanager
def forced(level: Level) -> Iterator[None]:
    """Force the state of the platform."""
    with acting_as(command_actor("chaos")):
        force_level(scope="platform", level=level, reason="chaos")
    yield
    with acting_as(command_actor("chaos")):
        release_level(scope="platform", reason="chaos")


def normal_after(field: Field, since: float) -> float:
    """Return the seconds from a moment until every load state, measured after it, is normal and a job is accepted."""
    field.stack.until(
        lambda: field.view.number(_MEASURED) > since and field.view.number(_LEVEL) == Level.NORMAL,
        within=field.patience_seconds,
        what="the load is normal",
    )
    return field.fresh_start(since)


class Overload(Row):
    id, fault = (
        "L1",
        "several times the capacity for 30 s, the platform forced to busy, each dispatcher killed once",
    )
    minutes = 3.0
    bound_seconds, measured = 60.0, "from its end until the states are normal and a refused kind is accepted and begins"
    shape = Shape(workers=1, slots=2, dispatchers=2, caps=(2, 2, 2))
    traffic = None
    is_alone = True
    drain_seconds = 240.0
    CLIENTS, PAUSE_SECONDS, HELD_SECONDS = 2, 0.1, 30.0

    def inject(self, field: Field) -> list[float]:
        with refusing(field, Level.BUSY):
            # Tenants that send alike have what they are entitled to: no state rises by itself.
            with forced(Level.BUSY), ThreadPoolExecutor(self.CLIENTS) as clients:
                field.note_fault()
                until = time.monotonic() + self.HELD_SECONDS
                sent = [clients.submit(self._send_until, field, until, number) for number in range(self.CLIENTS)]
                for dispatcher in list(field.stack.dispatchers):
                    field.wait(8.0, 14.0)
                    dispatcher.kill()
                refused = sum(future.result() for future in sent)
            recovery = normal_after(field, time.time())
        if not refused:
            field.violations.append(f"no job was refused: {INCONCLUSIVE}")
        return [recovery]

    def _send_until(self, field: Field, until: float, number: int) -> int:
        """Submit small jobs of one tenant; return how many were refused."""
        refused = 0
        while time.monotonic() < until:
            request = field.client.submit(field.tenants[number], SHED_KIND, {"steps": 1, "seconds": 0.2})
            refused += request.replies[-1].status == UNAVAILABLE
            time.sleep(self.PAUSE_SECONDS)
        return refused


class ForcedOverload(Row):
    id, fault = "L2", "a load state forced, the web server and a dispatcher killed meanwhile"
    bound_seconds, measured = 45.0, "from its release until the states are normal and a refused kind begins"
    traffic = None
    may_end = frozenset({"web"})

    def inject(self, field: Field) -> list[float]:
        with refusing(field, Level.OVERLOADED):
            field.note_fault()
            with forced(Level.OVERLOADED):
                for process in (None, field.stack.web, field.rng.choice(field.stack.dispatchers)):
                    if process is not None:
                        process.kill()
                    self._await_refusal(field)
                    self._require_accepted(field)
            return [normal_after(field, time.time())]

    def _await_refusal(self, field: Field) -> None:
        def is_refused() -> bool:
            request = field.client.submit(field.tenants[0], SHED_KIND, {"steps": 1})
            return request.replies[-1].status == UNAVAILABLE

        field.stack.until(is_refused, within=REFUSED_SECONDS + field.patience_seconds, what="the kind is refused")

    def _require_accepted(self, field: Field) -> None:
        """Require that a kind that no rule refuses is accepted meanwhile."""
        request = field.client.prepare(field.tenants[1], OTHER_KIND, {"seconds": 0})
        field.stack.until(
            lambda: field.client.send(request).status in ACCEPTED, within=field.patience_seconds, what="it is accepted"
        )


class SlowDatabase(ProxiedRow):
    id, fault = "L3", "the latency to PostgreSQL is 150 ms for 15 s: the platform is overloaded and refuses"
    bound_seconds, measured = 60.0, "from its end until the states are normal and a refused kind is accepted and begins"
    roles = ("dispatcher",)
    traffic = None

    @contextmanager
    def hold(self, field: Field) -> Iterator[None]:
        self.way.delay(0.075)
        try:
            field.stack.until(
                lambda: field.view.number(_LEVEL) >= Level.OVERLOADED,
                within=field.patience_seconds,
                what="the platform is overloaded",
            )
            yield
        finally:
            self.way.delay(0.0)

    def inject(self, field: Field) -> list[float]:
        field.wait(0.0, 1.0)
        with refusing(field, Level.OVERLOADED):
            with self.hold(field):
                field.wait(5.0, 8.0)
            return [normal_after(field, time.time())]


ROWS: Sequence[type[Row]] = (Overload, ForcedOverload, SlowDatabase)
