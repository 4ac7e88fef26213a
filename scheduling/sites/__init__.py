"""A second site: the epoch of the active site at a witness, the standby, its promotion, and what a promotion lost."""
