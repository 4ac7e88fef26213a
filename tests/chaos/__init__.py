"""`make chaos`: real processes, faults at random moments, and checkers that know only what a client could know."""
