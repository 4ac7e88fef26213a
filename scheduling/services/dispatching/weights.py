"""The weight of a queue beside its siblings, as SQL over a queue aliased ``q``."""

# The active CFS plan's word on the queue, else the queue's own.
QUEUE_WEIGHT = """coalesce((SELECT max(t.weight) FROM scheduling_cfsplantier t
    JOIN scheduling_cfsplan p ON p.id = t.plan_id AND p.is_active WHERE t.queue_id = q.id), q.weight)"""
