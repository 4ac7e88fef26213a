"""The environment variables of a chaos run."""

# By how many hours a worker's clock is wrong.
CLOCK_VARIABLE = "CHAOS_CLOCK_HOURS"
# `STEP:N`: a dispatcher dies at a step of its tick, at its Nth time.
CRASH_VARIABLE = "CHAOS_CRASH_AT"
# Not empty: a build of the platform that has no kinds of its own for chaos.
OLD_BUILD_VARIABLE = "CHAOS_OLD_BUILD"
# On a machine with other work each bound is multiplied by this; CI doubles it.
FACTOR_VARIABLE = "CHAOS_BOUND_FACTOR"
