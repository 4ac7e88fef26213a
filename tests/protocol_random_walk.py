"""Random walks of the protocol: a seeded sequence of submissions, ticks, workers' acts and faults.

The clock, the randomness, the store and the broker all belong to this module, so a seed determines a history. After the
walk all faults heal, the queue drains, and accepted jobs must have ended.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from scheduling.jobs.lifecycle import JobState
from tests.protocol_actors import Phase, Worker
from tests.protocol_parents import POOLS, SLOTS
from tests.protocol_rows import JobRow
from tests.protocol_store import Store
from tests.protocol_ticks import TENANTS, DispatcherActs

STEPS = 300
MOST_JOBS = 10
BEAT_SECONDS = 2.5
DRAIN_ROUNDS = 400
# The acts of a child with one message in the end of a history: more than it needs.
MOST_ACTS = 60


class Walk(DispatcherActs):
    """One history."""

    def __init__(self, kind: type[Store], seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.store = kind({tenant: self.random.choice([1, 2, 5]) for tenant in TENANTS})
        for _ in POOLS:
            self.add_worker()
        # Work is frequent; disturbances are rare.
        work = [self.tick, self.open_tick, *[self.commit_tick, self.publish, self.pop] * 2, *[self.work] * 8]
        ends = [self.bury, self.take_back]
        clock = [self.sweep, self.pass_time, self.look_at_broker, self.find_take_backs, *ends * 4]
        disturbances: list[Callable[[], object]] = [
            self.cancel,
            self.suspend,
            self.resume,
            *[self.wake] * 2,
            self.hasten,
            self.set_cap,
            self.set_weight,
            self.pause,
            self.checkpoint,
            self.lose_message,
            self.duplicate,
            self.flush,
            self.switch_broker,
            self.freeze,
            self.thaw,
            self.kill,
            self.orphan,
            self.stop,
            *[self.lose_child] * 2,
            self.kill_child,
            *[self.abandon] * 3,
            self.undo,
            *[self.lock] * 5,
        ]
        rare = [*disturbances, *[self.land] * 10]
        self.acts: list[Callable[[], object]] = [*work * 24, *[self.submit] * 30, *clock * 5, *rare]

    def step(self) -> str:
        """Run a random act, or another if it has nothing to do; return its name."""
        self.claimed = []
        while (act := self.random.choice(self.acts))() is False:
            pass
        return act.__name__

    # Acts of people ------------------------------------------------------------------------------------------

    def submit(self) -> bool:
        missing = MOST_JOBS - len(self.store.open_jobs())
        for _ in range(self.random.randint(min(2, missing), missing)):
            job = self.store.submit(
                self.random.choice(TENANTS),
                self.random.choice(POOLS),
                max_retries=self.random.choice([0, 1, 3]),
                delay=self.random.choice([0.0, 0.0, 0.0, 30.0]),
            )
            if self.random.random() < 0.1:
                self.poison.add(job.id)
        return missing > 0

    def job(self) -> JobRow | None:
        return self.random.choice(self.store.open_jobs() or [None])

    def cancel(self) -> None:
        if (job := self.job()) is not None:
            self.store.cancel(job)

    def suspend(self) -> None:
        if (job := self.job()) is not None:
            self.store.suspend(job)

    def resume(self) -> None:
        for job in self.store.open_jobs():
            self.store.make_ready(job, {JobState.SUSPENDED})

    def wake(self) -> None:
        if (job := self.job()) is not None:
            self.store.wake(job)

    def hasten(self) -> None:
        for job in self.store.open_jobs():
            self.store.make_ready(job, {JobState.RETRYABLE})

    def set_cap(self) -> None:
        self.store.caps[self.random.choice(TENANTS)] = self.random.choice([0, 1, 2, 5])

    def set_weight(self) -> None:
        self.store.weights[self.random.choice(TENANTS)] = self.random.choice([1, 2, 3])

    def pause(self) -> None:
        """Pause a tenant, or more often resume all."""
        self.paused = {self.random.choice(TENANTS)} if self.random.random() < 0.3 else set()

    # Faults -----------------------------------------------------------------------------------------------

    def lock(self) -> None:
        """Let another transaction lock a row for a while, more often one that is about to begin."""
        next_ones = [one.waiting[0].id for worker in self.workers for one in worker.children if one.waiting]
        if rows := next_ones if self.random.random() < 0.7 else list(self.store.live):
            self.store.locked = {self.random.choice(rows)}

    def lose_message(self) -> None:
        if self.messages:
            self.messages.pop(self.random.randrange(len(self.messages)))

    def duplicate(self) -> None:
        if self.messages:
            self.messages.append(self.random.choice(self.messages))

    def flush(self) -> None:
        self.messages.clear()
        self.is_epoch_known = False

    def switch_broker(self) -> None:
        self.is_broker_away = self.random.random() < 0.2

    def pass_time(self) -> None:
        self.let_pass(self.random.choice([0.1, 0.1, 1.0, 1.0, 3.0, 11.0, 16.0, 70.0]))

    def let_pass(self, seconds: float) -> None:
        """Advance the time; healthy workers send heartbeats meanwhile, and locks are released."""
        self.store.locked.clear()
        while seconds > 0:
            self.store.now += min(seconds, BEAT_SECONDS)
            seconds -= BEAT_SECONDS
            for worker in self.workers:
                if worker.beats:
                    self.beat(worker)

    # End ------------------------------------------------------------------------------------------------------

    def heal_and_drain(self) -> None:
        """Stop all faults and run all processes until nothing is left."""
        self.paused, self.is_broker_away, self.is_draining = set(), False, True
        self.store.caps = dict.fromkeys(TENANTS, 5)
        self.thaw()
        for pool in POOLS:
            self.enlist(Worker(f"fresh-{pool}", pool, 0.0))
        for _ in range(DRAIN_ROUNDS):
            if all(job.state is JobState.SUSPENDED for job in self.store.open_jobs()):
                return
            self._round()

    def _round(self) -> None:
        self.look_at_broker()
        for dispatcher in self.dispatchers:
            self.finish_tick(dispatcher)
            self.send(dispatcher)
        for dispatcher, pool in zip(self.dispatchers, POOLS, strict=True):
            self.start_tick(dispatcher, pool)
            self.finish_tick(dispatcher)
            self.send(dispatcher)
        for worker in self.workers:
            if worker.is_well:
                self._serve(worker)
        self.sweep()
        self.let_pass(5.0 if self.store.live else 60.0)

    def _serve(self, worker: Worker) -> None:
        for place in range(SLOTS):
            if worker.is_online and worker.children[place].phase is Phase.IDLE:
                self.receive_one(worker.children[place])
            for _ in range(MOST_ACTS):
                child = worker.children[place]
                if child.is_dead and worker.beats:
                    self.end_hold(child)
                elif child.is_dead or child.phase is Phase.IDLE:
                    break
                else:
                    self.advance(child)
