"""The fairness benchmark: the scheduler's targets, measured on the real platform and simulated."""
