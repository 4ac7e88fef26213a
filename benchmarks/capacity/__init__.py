"""The capacity benchmark: waits near capacity, submission rates, processor time and memory."""
