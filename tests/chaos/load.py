"""Clients that submit jobs during a fault."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.chaos.client import Client


@dataclass(frozen=True, slots=True)
class Traffic:
    """Submissions a second, with the numbers and durations of their steps.

    A part of them are jobs that fail once, a part are bursts of small jobs, which travel in lists, and a part are jobs
    that wait in a coroutine, which require a stack with an I/O worker.
    """

    per_second: float = 3.0
    most_steps: int = 3
    step_seconds: float = 0.15
    failing_part: float = 0.05
    small_part: float = 0.15
    coroutine_part: float = 0.0


# Small jobs of one tenant at once: what cannot begin at once gathers in a list.
BURST = 5


class Load(threading.Thread):
    """Load that submits at random moments for random tenants, and repeats unanswered requests."""

    def __init__(self, client: Client, tenants: Sequence[UUID], traffic: Traffic, rng: random.Random) -> None:
        super().__init__(name="load", daemon=True)
        self._client = client
        self._tenants = tenants
        self._traffic = traffic
        # A generator of its own: the fault's random values do not depend on the speed of the clients.
        self._rng = random.Random(rng.random())
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.wait(self._rng.expovariate(self._traffic.per_second)):
            self._submit()
            for request in self._client.repeatable_requests()[:2]:
                self._client.send(request)

    def stop(self) -> None:
        """Stop, and return once nothing more is sent."""
        self.finish()
        self.join()

    def finish(self) -> None:
        """Send nothing more after what is being sent."""
        self._stopped.set()

    def _submit(self) -> None:
        tenant_id, traffic = self._rng.choice(self._tenants), self._traffic
        drawn = self._rng.random()
        if drawn < traffic.failing_part:
            self._client.submit(tenant_id, "fail", {"times": 1})
        elif (drawn := drawn - traffic.failing_part) < traffic.small_part:
            for _ in range(BURST):
                self._client.submit(tenant_id, "chaos_small", {"milliseconds": round(self._rng.uniform(1, 5), 1)})
        elif drawn - traffic.small_part < traffic.coroutine_part:
            self._client.submit(tenant_id, "chaos_patient", {"seconds": round(self._rng.uniform(0, 1), 2)})
        else:
            self._client.submit(tenant_id, "chaos_steps", self._steps())

    def _steps(self) -> dict[str, Any]:
        return {
            "steps": self._rng.randint(1, self._traffic.most_steps),
            "seconds": round(self._rng.uniform(0.2, 1.8) * self._traffic.step_seconds, 3),
        }
