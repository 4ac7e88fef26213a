"""Forced load states, while the processes that measure and refuse are killed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scheduling.load.configured import SHEDDING_RULES
from scheduling.load.models import Action, SheddingRule
from scheduling.load.rules import Level
from scheduling.load.service import force_level, release_level
from tenants.context import acting_as, all_tenants, command_actor
from tests.chaos.history import ACCEPTED, UNAVAILABLE
from tests.chaos.row import Field, Row

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


def normal_after(field: Field, since: float) -> float:
    """Return the seconds from a moment until every load state, measured after it, is normal and a job is accepted."""
    field.stack.until(
        lambda: field.view.number(_MEASURED) > since and field.view.number(_LEVEL) == Level.NORMAL,
        within=field.patience_seconds,
        what="the load is normal",
    )
    return field.fresh_start(since)


class ForcedOverload(Row):
    id, fault = "L2", "a load state forced, the web server and a dispatcher killed meanwhile"
    bound_seconds, measured = 45.0, "from its release until the states are normal and a refused kind begins"
    traffic = None
    may_end = frozenset({"web"})

    def inject(self, field: Field) -> list[float]:
        with refusing(field, Level.OVERLOADED):
            field.note_fault()
            with acting_as(command_actor("chaos")):
                force_level(scope="platform", level=Level.OVERLOADED, reason="chaos")
            for process in (None, field.stack.web, field.rng.choice(field.stack.dispatchers)):
                if process is not None:
                    process.kill()
                self._await_refusal(field)
                self._require_accepted(field)
            with acting_as(command_actor("chaos")):
                release_level(scope="platform", reason="chaos")
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


ROWS: Sequence[type[Row]] = (ForcedOverload,)
