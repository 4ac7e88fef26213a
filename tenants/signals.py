"""Signals to other apps.

Signals marked as telemetry only report. The others carry work, because this app must not import the apps above it: the
scheduler has to react, in the same transaction, to changed weights, caps, pauses and suspensions of tenants. They are
sent with `send`, so an error in a receiver rolls the change back.
"""

from django.dispatch import Signal

# tenant_ids: Sequence[UUID]. Sent inside the change's transaction, in the cross-tenant scope.
tenant_scheduling_changed = Signal()
# tenant_id: UUID, reason: str. Sent likewise: the tenant's running work is to be cancelled.
running_work_unwanted = Signal()
# tenant_id: UUID. Sent likewise: the tenant's home region or its allowed regions have changed.
tenant_regions_changed = Signal()

# mail: tenants.approvals.mails.ApprovalMail. Sent in the transaction of the request or decision that it reports; an
# error in a receiver must not refuse that.
approval_mail_wanted = Signal()

# Telemetry: a tenant came near to a limit, or reached it. tenant_id, key, percent, used (as counted), allowed.
limit_warned = Signal()

# Telemetry: `count` values were read from a cache, at the level `place`. cache, place, count.
cache_asked = Signal()
