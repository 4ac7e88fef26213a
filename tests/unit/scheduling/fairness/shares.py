"""Values at the boundary of the fair order, with defaults for irrelevant fields."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from scheduling.fairness.shares import KeyShare, PoolShare, QueueShare, TenantShare

SECOND = 1_000_000


def tenant(number: int, **changes: int) -> TenantShare:
    values: dict[str, Any] = {
        "weight_milli": 1_000,
        "vruntime": 0,
        "in_flight": 0,
        "head_rank": 0,
        "waiting": 1_000,
        "estimate_us": SECOND,
    }
    return TenantShare(entity_id=number, tenant_id=UUID(int=number), **(values | changes))


def key(number: int, **changes: int) -> KeyShare:
    values = {"vruntime": 0, "in_flight": 0, "head_rank": 0, "waiting": 1_000, "estimate_us": SECOND}
    return KeyShare(entity_id=number, **(values | changes))


def keyed(number: int, *keys: KeyShare, **changes: int) -> TenantShare:
    return replace(tenant(number, **changes), keys=keys)


def queue(*tenants: TenantShare, **changes: object) -> QueueShare:
    values: dict[str, object] = {
        "queue_id": 1,
        "weight_milli": 1_000,
        "vruntime": 0,
        "virtual_time": 0,
        "was_backlogged": True,
        "room": 1_000,
        "is_fifo": False,
    }
    return QueueShare(tenants=tenants, **(values | changes))  # type: ignore[arg-type]


def pool(*queues: QueueShare, room: int = 10, caps: dict[int, int] | None = None) -> PoolShare:
    everybody = {entity.tenant_id: 1_000 for share in queues for entity in share.tenants}
    capped = {UUID(int=number): cap for number, cap in (caps or {}).items()}
    return PoolShare(virtual_time=0, room=room, queues=queues, tenant_room=everybody | capped)
