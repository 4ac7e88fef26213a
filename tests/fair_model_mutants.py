"""Models with planted bugs, each of which the checks must detect."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from scheduling.fairness.shares import PickResult, PoolShare, QueueShare, TenantShare
from tests.fair_model import Entity, Model, Running


class IgnoresWeights(Model):
    def tenant_share(self, entity: Entity) -> TenantShare:
        return replace(super().tenant_share(entity), weight_milli=1_000)


class InvertsWeights(Model):
    def tenant_share(self, entity: Entity) -> TenantShare:
        share = super().tenant_share(entity)
        return replace(share, weight_milli=10**7 // share.weight_milli)


class GivesCredit(Model):
    def rejoined(self, vruntime: int, parent_virtual_time: int) -> int:
        return vruntime


class ForgetsCorrections(Model):
    def corrected(self, vruntime: int, run: Running, measured_us: int, weight_milli: int) -> int:
        return vruntime


class LeavesASlotIdle(Model):
    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, room=max(0, share.room - 1))


class WaitsForSettlements(Model):
    """Model whose slots are free only after settlement."""

    @property
    def free(self) -> int:
        return max(0, self.slots - len({run.message for run in self.running.values()}))


class StopsAtCappedTenant(Model):
    """Model that picks nothing while the tenant of least virtual time is at its cap."""

    def share(self) -> PoolShare:
        share = super().share()
        capped = any(tenant.in_flight >= tenant.cap for tenant in self.tenants.values())
        return replace(share, room=0) if capped else share


class IgnoresKeys(Model):
    """Model that serves the last key of a tenant, regardless of service."""

    def tenant_share(self, entity: Entity) -> TenantShare:
        share = super().tenant_share(entity)
        last = max(share.keys, key=lambda line: line.entity_id)
        return replace(share, keys=[last])


class NeverServesTheLast(Model):
    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, queues=[self.without_last(queue) for queue in share.queues])

    def without_last(self, queue: QueueShare) -> QueueShare:
        return replace(queue, tenants=[tenant for tenant in queue.tenants if tenant.tenant_id != max(self.tenants)])


class SkipsTheLastOften(Model):
    """Model that skips the last tenant nine times in ten."""

    def share(self) -> PoolShare:
        share = super().share()
        if self.ticks % 10 == 0:
            return share
        last = max(self.tenants)
        queues = []
        for queue in share.queues:
            others = [tenant for tenant in queue.tenants if tenant.tenant_id != last]
            queues.append(replace(queue, tenants=others or queue.tenants))
        return replace(share, queues=queues)


class IgnoresQueueWeights(Model):
    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, queues=[replace(queue, weight_milli=1_000) for queue in share.queues])


class InvertsQueueWeights(Model):
    def share(self) -> PoolShare:
        share = super().share()
        return replace(
            share, queues=[replace(queue, weight_milli=10**7 // queue.weight_milli) for queue in share.queues]
        )


class GivesQueuesCredit(Model):
    """Model whose queues continue from their own virtual time after an absence."""

    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, queues=[replace(queue, was_backlogged=True) for queue in share.queues])


class ForgetsCorrectionsOfQueues(Model):
    def collect(self) -> None:
        before = {id_: queue.vruntime for id_, queue in self.queues.items()}
        super().collect()
        for id_, vruntime in before.items():
            self.queues[id_].vruntime = vruntime


class StopsAtCappedQueue(Model):
    """Model that picks nothing while a queue is at its cap."""

    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, room=0) if any(queue.room <= 0 for queue in share.queues) else share


class ServesQueuesInTurn(Model):
    """Model that empties one queue after another, regardless of service."""

    def share(self) -> PoolShare:
        share = super().share()
        return replace(share, queues=[queue for queue in share.queues if queue.tenants][:1])


class PrefersLatestArrival(Model):
    """Model that prefers the latest arrival among otherwise equal ones."""

    def tenant_share(self, entity: Entity) -> TenantShare:
        share = super().tenant_share(entity)
        keys = [replace(line, vruntime=line.vruntime * 10**9 - line.head_rank) for line in share.keys]
        return replace(share, vruntime=share.vruntime * 10**9 - share.head_rank, keys=keys)

    def take(self, result: PickResult) -> list[UUID]:
        picked = super().take(result)
        for _, entity in self.each_entity():
            entity.vruntime = -(-entity.vruntime // 10**9)
        return picked


class CountsEachKey(Model):
    """Model whose tenants weigh as much as they have keys."""

    def tenant_share(self, entity: Entity) -> TenantShare:
        share = super().tenant_share(entity)
        return replace(share, weight_milli=share.weight_milli * len(share.keys))
