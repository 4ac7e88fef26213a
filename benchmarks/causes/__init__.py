"""The benchmark of investigations: planted faults among ordinary changes, and the rank of the true cause."""
