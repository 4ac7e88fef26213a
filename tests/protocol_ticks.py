"""Acts of dispatchers: ticks, publication, take-back and sweeps."""

from __future__ import annotations

from collections import Counter

from scheduling.execution import settlement_builders
from tests.protocol_actors import Child, Claim, Dispatcher
from tests.protocol_children import returned
from tests.protocol_parents import POOLS, SLOTS, ParentActs
from tests.protocol_rows import JobRow, LiveRow, Picks, Tick, hints_of
from tests.protocol_settlements import LEASE_SECONDS

TENANTS = ("acme", "globex")
LONGEST_LIST = 4


class DispatcherActs(ParentActs):
    """Acts of two dispatchers."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatchers = [Dispatcher(), Dispatcher()]
        self.is_epoch_known = True
        self.paused: set[str] = set()
        # Executions of the latest claim, and the slots that its tick had counted.
        self.claimed: list[LiveRow] = []
        self.slots = 0

    def tick(self) -> bool:
        """Tick at once, without another process in between."""
        dispatcher = self.random.choice(self.dispatchers)
        if dispatcher.tick is not None or not self.start_tick(dispatcher, self.random.choice(POOLS)):
            return False
        self.finish_tick(dispatcher)
        return True

    def open_tick(self) -> bool:
        """Take a pool's lock, unless a live session has it, and read."""
        return self.start_tick(self.random.choice(self.dispatchers), self.random.choice(POOLS))

    def start_tick(self, dispatcher: Dispatcher, pool: str) -> bool:
        open_ticks = [other.tick for other in self.dispatchers if other.tick is not None and other.tick.pool == pool]
        is_locked = not all(map(self.store.is_cut_off, open_ticks))
        if is_locked or dispatcher.tick is not None or self.is_broker_away:
            return False
        self.store.stage_due()
        self.store.collect()
        ready = [job for job in self.store.ready(pool) if job.tenant not in self.paused]
        slots = SLOTS * sum(worker.is_online and worker.pool == pool for worker in self.workers)
        room = slots - len(self.places_of(pool))
        self.random.shuffle(ready)
        seen = Counter({tenant: self.store.caps[tenant] - self.store.in_flight[tenant] for tenant in TENANTS})
        picks = self.messages_of(ready, max(0, room))
        dispatcher.tick = Tick(pool, self.store.now, picks, slots, seen)
        return bool(picks)

    def places_of(self, pool: str) -> set[object]:
        return {live.place for live in self.store.live.values() if live.job.pool == pool}

    def messages_of(self, ready: list[JobRow], room: int) -> list[Picks]:
        """Return a list or a merged message for each free slot; some jobs travel alone."""
        messages: list[Picks] = []
        ready = ready[:]
        while ready and len(messages) < room:
            size = 1 if ready[0].travels_alone else self.random.choice([1, LONGEST_LIST, LONGEST_LIST, LONGEST_LIST])
            jobs = [ready[0], *[job for job in ready[1:size] if not job.travels_alone]]
            ready = [job for job in ready if job not in jobs]
            messages.append(Picks(jobs, is_list=len(jobs) == 1 or self.random.random() < 0.8))
        return messages

    def commit_tick(self) -> bool:
        return self.finish_tick(self.random.choice(self.dispatchers))

    def finish_tick(self, dispatcher: Dispatcher) -> bool:
        if dispatcher.tick is None:
            return False
        self.claimed, self.slots = self.store.claim(dispatcher.tick), dispatcher.tick.slots
        dispatcher.unpublished += [Claim.of(hint, self.claimed) for hint in hints_of(self.claimed)]
        dispatcher.tick = None
        return bool(self.claimed)

    def publish(self) -> bool:
        return self.send(self.random.choice(self.dispatchers))

    def send(self, dispatcher: Dispatcher) -> bool:
        """Publish messages; undo those that the broker refuses, and later those sent while the connection broke."""
        claims, dispatcher.unpublished = dispatcher.unpublished, []
        for claim in claims:
            if self.is_broker_away:
                self.take_out(claim)
                continue
            self.messages.append(claim.hint)
            if self.random.random() < 0.05:
                dispatcher.uncertain.append(claim)
        return bool(claims)

    def undo(self) -> None:
        """Undo claims whose publication was not confirmed: a worker may hold them by now."""
        for dispatcher in self.dispatchers:
            for claim in dispatcher.uncertain:
                self.take_out(claim)
            dispatcher.uncertain.clear()

    def take_out(self, claim: Claim) -> None:
        for id_, fence, job in claim.members:
            self.store.settle(settlement_builders.unpublished(id_, fence), job)

    def find_take_backs(self) -> bool:
        """Find held executions that should not begin: a tick does so, and the parent of a child that is overdue."""
        found = self.store.find_take_backs()
        self.random.choice(self.dispatchers).take_backs = self.random.sample(found, self.random.randint(0, len(found)))
        return bool(found)

    def take_back(self) -> bool:
        rows = [row for dispatcher in self.dispatchers for row in dispatcher.take_backs]
        self.settle_all([returned(row) for row in rows])
        for dispatcher in self.dispatchers:
            dispatcher.take_backs = []
        return bool(rows)

    def look_at_broker(self) -> bool:
        """Publish executions that no worker holds at once after the broker returned empty."""
        if self.is_epoch_known or self.is_broker_away:
            return False
        self.is_epoch_known = True
        self.republish(is_epoch_new=True)
        return True

    def republish(self, *, is_epoch_new: bool = False) -> None:
        hints = self.store.republish(is_epoch_new=is_epoch_new)
        rows = [self.store.live[id_] for hint in hints for id_ in hint.executions]
        self.problems += [f"execution {live.id} is held and was republished" for live in rows if live.hold is not None]
        if not self.is_broker_away:
            self.messages += hints

    def sweep(self) -> None:
        for live in self.store.rescue():
            self.rescued.add(live.id)
            if self.store.now - self.store.beats[live.worker] > LEASE_SECONDS:
                self.lost.add(live.id)
            living = [child for worker in self.workers for child in worker.children if self._is_renewed(child)]
            if any(child.nonce == live.hold for child in living):
                self.problems.append(f"execution {live.id} was rescued from a worker that lives and beats")
        self.republish()

    def _is_renewed(self, child: Child) -> bool:
        is_alive = not child.worker.is_dead and not child.is_dead
        return is_alive and child.hint is not None and self.store.now - child.renewed_at <= LEASE_SECONDS
