"""CFS plans (plans of the fair order): which queue serves each tier, and the weights of the queues."""
