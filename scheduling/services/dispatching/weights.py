"""Weights as SQL: of a queue ``q`` beside its siblings, and of a tenant ``t`` with its plan ``p``."""

# The active CFS plan's word on the queue, else the queue's own.
QUEUE_WEIGHT = """coalesce((SELECT max(t.weight) FROM scheduling_cfsplantier t
    JOIN scheduling_cfsplan p ON p.id = t.plan_id AND p.is_active WHERE t.queue_id = q.id), q.weight)"""
# In thousandths, never nothing, and never more than the column holds: an overflow would end every tick.
TENANT_WEIGHT = "greatest(1, least(2147483647, round(p.weight * t.weight_factor * 1000)))::int"
