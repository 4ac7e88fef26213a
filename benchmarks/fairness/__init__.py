"""The table of the fair scheduler's targets, measured on the real platform and simulated beside it."""
