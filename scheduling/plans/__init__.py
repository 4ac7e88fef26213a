"""CFS plans: the mapping of tiers to queues, and the queues' weights."""
