"""Whether what is stored agrees with itself: named checks, a bounded piece at a time, and what can be repaired."""
