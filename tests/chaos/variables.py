"""Environment variables of a chaos run."""

# Error of a worker's clock in hours.
CLOCK_VARIABLE = "CHAOS_CLOCK_HOURS"
# `STEP:N`: a dispatcher dies at the Nth call of a step of its tick.
CRASH_VARIABLE = "CHAOS_CRASH_AT"
# Not empty: lists are also made of jobs predicted to take long, as small ones are on a busy machine.
LISTS_VARIABLE = "CHAOS_LONG_LISTS"
# Not empty: a build of the platform without the kinds of chaos tests.
OLD_BUILD_VARIABLE = "CHAOS_OLD_BUILD"
# Factor of each bound on a machine with other work; CI doubles it.
FACTOR_VARIABLE = "CHAOS_BOUND_FACTOR"
