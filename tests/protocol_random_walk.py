"""Random walks of the protocol: a seeded sequence of submissions, ticks, workers' acts and faults.

The clock, the randomness, the store and the broker all belong to this module, so a seed determines a history. After the
walk all faults heal, the queue drains, and accepted jobs must have ended.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from itertools import count

from scheduling.execution import settlement_builders
from scheduling.execution.settlement import Settlement
from scheduling.jobs.lifecycle import JobState
from scheduling.kit.retry import RetryPolicy
from tests.protocol_actors import Claim, Dispatcher, Hand, Worker
from tests.protocol_store import LEASE_SECONDS, Hint, Id, JobRow, LiveRow, Store, Tick, hint_of

TENANTS = ("acme", "globex")
POOLS = ("default", "other")
STEPS = 300
MOST_JOBS = 5
SLOTS = 2
BEAT_SECONDS = 2.5
DRAIN_ROUNDS = 400
FAILURE = settlement_builders.Failure("ValueError", "no", "")
PERMANENT = settlement_builders.Failure("ValueError", "never", "", is_permanent=True)


class Walk:
    """One history; ``problems`` are violations of the protocol's own rules."""

    def __init__(self, kind: type[Store], seed: int) -> None:
        self.random = random.Random(seed)
        self.store = kind({tenant: self.random.choice([1, 2, 5]) for tenant in TENANTS})
        self._numbers = count(1)
        self.workers = [self.new_worker() for _ in range(3)]
        self.dispatchers = [Dispatcher(), Dispatcher()]
        self.messages: list[Hint] = []
        self.is_broker_away = False
        self.is_epoch_known = True
        self.paused: set[str] = set()
        # Jobs that kill their workers.
        self.poison: set[Id] = set()
        self.claimed: list[LiveRow] = []
        self.problems: list[str] = []
        # Work is frequent; disturbances are rare.
        work = [self.open_tick, self.commit_tick, self.publish, *[self.pop, self.begin] * 2, self.end]
        clock = [self.sweep, self.pass_time, self.look_at_broker]
        disturbances: list[Callable[[], object]] = [
            self.cancel,
            self.suspend,
            self.resume,
            self.wake,
            self.hasten,
            self.set_cap,
            self.pause,
            self.checkpoint,
            self.lose_message,
            self.duplicate,
            self.flush,
            self.switch_broker,
            self.freeze,
            self.thaw,
            self.kill,
        ]
        self.acts: list[Callable[[], object]] = [*work * 12, *[self.submit] * 12, *clock * 5, *disturbances]

    def step(self) -> str:
        """Run a random act; return its name."""
        self.claimed = []
        act = self.random.choice(self.acts)
        act()
        return act.__name__

    # Acts of people ------------------------------------------------------------------------------------------

    def submit(self) -> None:
        if len(self.store.open_jobs()) < MOST_JOBS:
            job = self.store.submit(
                self.random.choice(TENANTS),
                self.random.choice(POOLS),
                max_retries=self.random.choice([0, 1, 3]),
                delay=self.random.choice([0.0, 0.0, 0.0, 30.0]),
            )
            if self.random.random() < 0.15:
                self.poison.add(job.id)

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

    def pause(self) -> None:
        """Pause a tenant, or more often resume all."""
        self.paused = {self.random.choice(TENANTS)} if self.random.random() < 0.3 else set()

    # Dispatchers ------------------------------------------------------------------------------------------

    def open_tick(self) -> None:
        """Take a pool's lock, unless a live session has it, and read."""
        self.start_tick(self.random.choice(self.dispatchers), self.random.choice(POOLS))

    def start_tick(self, dispatcher: Dispatcher, pool: str) -> None:
        open_ticks = [other.tick for other in self.dispatchers if other.tick is not None and other.tick.pool == pool]
        is_locked = not all(map(self.store.is_cut_off, open_ticks))
        if is_locked or dispatcher.tick is not None or self.is_broker_away:
            return
        self.store.stage_due()
        self.store.collect()
        ready = [job for job in self.store.ready(pool) if job.tenant not in self.paused]
        slots = SLOTS * sum(worker.is_well and worker.pool == pool for worker in self.workers)
        room = slots - sum(live.job.pool == pool for live in self.store.live.values())
        self.random.shuffle(ready)
        seen = Counter({tenant: self.store.caps[tenant] - self.store.in_flight[tenant] for tenant in TENANTS})
        dispatcher.tick = Tick(pool, self.store.now, ready[: max(0, room)], seen)

    def commit_tick(self) -> None:
        self.finish_tick(self.random.choice(self.dispatchers))

    def finish_tick(self, dispatcher: Dispatcher) -> None:
        if dispatcher.tick is not None:
            self.claimed = self.store.claim(dispatcher.tick)
            dispatcher.unpublished += [Claim(hint_of(live), live.fence, live.job) for live in self.claimed]
            dispatcher.tick = None

    def publish(self) -> None:
        self.send(self.random.choice(self.dispatchers))

    def send(self, dispatcher: Dispatcher) -> None:
        """Publish hints; undo those that the broker refuses, and those sent while the connection broke."""
        for claim in dispatcher.unpublished:
            if not self.is_broker_away:
                self.messages.append(claim.hint)
            if self.is_broker_away or self.random.random() < 0.05:
                self.store.settle(settlement_builders.unpublished(claim.hint.execution, claim.fence), claim.job)
        dispatcher.unpublished.clear()

    def look_at_broker(self) -> None:
        """Publish executions that have not started at once after the broker returned empty."""
        if not self.is_epoch_known and not self.is_broker_away:
            self.is_epoch_known = True
            self.messages += self.store.republish(is_epoch_new=True)

    def sweep(self) -> None:
        for live in self.store.rescue():
            worker = next(worker for worker in self.workers if worker.name == live.worker)
            if not worker.is_dead and self.store.now - worker.beat_at <= LEASE_SECONDS:
                self.problems.append(f"execution {live.id} was rescued from a worker that lives and beats")
        republished = self.store.republish()
        if not self.is_broker_away:
            self.messages += republished

    # Workers ----------------------------------------------------------------------------------------------

    def new_worker(self) -> Worker:
        skew = self.random.choice([0.0, 0.0, 7_200.0, -7_200.0])
        number = next(self._numbers)
        return Worker(f"worker {number}", POOLS[number % len(POOLS)], skew, self.store.now)

    def well(self) -> Worker | None:
        return self.random.choice([worker for worker in self.workers if worker.is_well] or [None])

    def pop(self) -> None:
        if (worker := self.well()) is not None:
            self.take(worker)

    def take(self, worker: Worker) -> None:
        """Take a message out of order; from then on it is only in this worker's memory."""
        own = [number for number, hint in enumerate(self.messages) if hint.pool == worker.pool]
        if own and not self.is_broker_away and len(worker.popped) + len(worker.hands) < SLOTS:
            worker.popped.append(self.messages.pop(self.random.choice(own)))

    def begin(self) -> None:
        if (worker := self.well()) is not None:
            self.begin_popped(worker)

    def begin_popped(self, worker: Worker) -> None:
        for hint in worker.popped:
            live = self.store.start(hint, worker.name, skew=worker.skew)
            if live is None:
                continue
            worker.beat_at = self.store.now
            worker.hands.append(Hand(live.id, live.fence, live.job, live.job.step))
            if hint.token != self.store.last_token[live.id]:
                self.problems.append(f"a message that was superseded began execution {live.id}")
        worker.popped.clear()

    def checkpoint(self) -> None:
        worker = self.well()
        if worker is None or not worker.hands:
            return
        hand = self.random.choice(worker.hands)
        if self.store.checkpoint(hand.live_id, hand.fence, hand.job, hand.step):
            hand.step += 1
        else:
            worker.hands.remove(hand)

    def end(self) -> None:
        worker = self.well()
        if worker is not None and worker.hands:
            hand = self.random.choice(worker.hands)
            worker.hands.remove(hand)
            self.store.settle(self.verdict_on(hand), hand.job)

    def verdict_on(self, hand: Hand) -> Settlement:
        execution: tuple[Id, int] = (hand.live_id, hand.fence)
        attempts, policy = hand.job.attempt + 1, RetryPolicy(hand.job.max_retries)
        fail = self.random.choice([FAILURE, FAILURE, PERMANENT])
        crash = settlement_builders.crashed(
            *execution, crash_count=hand.job.crash_count, was_alone=True, cause="killed", is_lost=False
        )
        if hand.job.id in self.poison:
            return crash
        completed = Settlement.completed(*execution, None)
        failed = settlement_builders.failed(
            *execution, fail, failed_attempts=attempts, policy=policy, uniform=self.random.uniform
        )
        yielded, returned = settlement_builders.yielded(*execution, None), settlement_builders.shut_down(*execution)
        waiting = [
            settlement_builders.put_off(*execution, None, seconds=5.0),
            settlement_builders.suspended(*execution, None, seconds=None),
        ]
        often = [completed, completed, failed, failed, yielded, returned, crash]
        return self.random.choice([*often * 3, *waiting])

    # Faults -----------------------------------------------------------------------------------------------

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

    def freeze(self) -> None:
        if (worker := self.well()) is not None:
            worker.is_frozen = True

    def thaw(self) -> None:
        for worker in self.workers:
            worker.is_frozen = False

    def kill(self) -> None:
        """Kill a worker, whose memory is lost, and start another."""
        worker = self.random.choice(self.workers)
        if not worker.is_dead:
            worker.is_dead = True
            worker.popped.clear()
            worker.hands.clear()
            self.workers.append(self.new_worker())

    def pass_time(self) -> None:
        self.let_pass(self.random.choice([0.1, 1.0, 3.0, 11.0, 16.0, 70.0]))

    def let_pass(self, seconds: float) -> None:
        """Advance the time; healthy workers send heartbeats meanwhile."""
        while seconds > 0:
            self.store.now += min(seconds, BEAT_SECONDS)
            seconds -= BEAT_SECONDS
            for worker in self.workers:
                if worker.is_well and worker.hands:
                    self.beat(worker)

    def beat(self, worker: Worker) -> None:
        worker.beat_at = self.store.now
        ours = self.store.heartbeat({hand.live_id: hand.fence for hand in worker.hands}, skew=worker.skew)
        if self.random.random() < 0.5:  # otherwise it ends before it learns that its fence is lost
            worker.hands = [hand for hand in worker.hands if hand.live_id in ours]

    # End ------------------------------------------------------------------------------------------------------

    def heal_and_drain(self) -> None:
        """Stop all faults and run all processes until nothing is left."""
        self.paused, self.is_broker_away = set(), False
        self.store.caps = dict.fromkeys(TENANTS, 5)
        self.thaw()
        for pool in POOLS:
            self.workers.append(Worker(f"fresh-{pool}", pool, 0.0, self.store.now))
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
                self.take(worker)
                self.begin_popped(worker)
                while worker.hands:
                    hand = worker.hands.pop()
                    self.store.settle(Settlement.completed(hand.live_id, hand.fence, None), hand.job)
        self.sweep()
        self.let_pass(5.0 if self.store.live else 60.0)
