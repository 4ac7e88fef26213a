"""What other apps are told of.

Signals elsewhere are telemetry only. These carry work, because this app must not import those above
it: whoever schedules has to learn, in the transaction of the change, that weights, caps, pauses or
suspensions of tenants are not what they were. They are sent with
`send`, so a receiver's failure rolls the change back.
"""

from django.dispatch import Signal

# tenant_ids: Sequence[UUID]. Sent inside the change's transaction, behind the door.
tenant_scheduling_changed = Signal()
# tenant_id: UUID, reason: str. Sent likewise: what runs for the tenant is to be cancelled.
running_work_unwanted = Signal()

# Telemetry: a tenant came near to a limit, or reached it. tenant_id, key, percent, used (as counted), allowed.
limit_warned = Signal()

# Telemetry: a cache was asked for `count` values, and they came from `place`. cache, place, count.
cache_asked = Signal()
