"""The environment variables of a chaos run."""

# By how many hours a worker's clock is wrong.
CLOCK_VARIABLE = "CHAOS_CLOCK_HOURS"
# `STEP:N`: a dispatcher dies at a step of its tick, at its Nth time.
CRASH_VARIABLE = "CHAOS_CRASH_AT"
# On a machine with other work each bound is multiplied by this; CI doubles it.
FACTOR_VARIABLE = "CHAOS_BOUND_FACTOR"
