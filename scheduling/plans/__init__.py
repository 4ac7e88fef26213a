"""CFS plans: how tiers map to queues and how queues share."""
