"""Run of the soak test: load, faults one after another, and kills of dispatchers."""

from __future__ import annotations

import random
import sys
import time

from tests.chaos.alert_soak.faults import FAULTS
from tests.chaos.alert_soak.proof import KILLED_EVERY, REPORTED_SECONDS, Soak
from tests.chaos.load import Load, Traffic
from tests.chaos.row import Field
from tests.chaos.stack import Stack

# After the last fault, for the ends of alerts and a claim that its process did not live to settle.
QUIET_SECONDS = 150.0
# Before and after a fault in which no dispatcher is killed.
CALM_SECONDS = 20.0
LOOK_SECONDS = 0.2


class Run:
    """A run on one stack; the faults are spread evenly over it."""

    def __init__(self, stack: Stack, soak: Soak) -> None:
        self.stack, self.soak, self.rng = stack, soak, random.Random(soak.seed)
        self.field = Field(stack, self.rng, REPORTED_SECONDS)
        self.next_kill = time.monotonic() + self.rng.uniform(*KILLED_EVERY)

    def live(self) -> None:
        """Inject each fault once, and wait until every notice has been sent."""
        load = Load(self.field.client, self.field.tenants, Traffic(per_second=1.0), self.rng)
        load.start()
        began = time.monotonic()
        every = (self.soak.minutes * 60 - QUIET_SECONDS) / len(FAULTS)
        for number, fault in enumerate(FAULTS):
            self.pass_time(began + number * every + 20.0 - time.monotonic())
            self.pass_time(CALM_SECONDS if fault.needs_calm else 0.0, kills=False)
            at = time.time()
            with fault.hold(self.field):
                self.pass_time(fault.seconds, kills=not fault.needs_calm)
            self.stack.heal()
            self.pass_time(CALM_SECONDS if fault.needs_calm else 0.0, kills=False)
            self.soak.faults.append((fault, at))
            say(f"{time.monotonic() - began:5.0f} s  {fault.name}")
        self.pass_time(began + self.soak.minutes * 60 - QUIET_SECONDS - time.monotonic())
        load.stop()
        self.pass_time(QUIET_SECONDS, kills=False)

    def pass_time(self, seconds: float, *, kills: bool = True) -> None:
        """Replace dead processes for some seconds, and kill a dispatcher now and then."""
        until, stack = time.monotonic() + seconds, self.stack
        while time.monotonic() < until:
            if stack.servers.is_postgres_running:
                stack.keep()
                if kills and time.monotonic() >= self.next_kill:
                    self.rng.choice(stack.dispatchers).kill()
                    self.soak.kills += 1
                    self.next_kill = time.monotonic() + self.rng.uniform(*KILLED_EVERY)
            time.sleep(LOOK_SECONDS)


def say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()
