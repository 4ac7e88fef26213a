"""Chaos tests (`make chaos`): real processes, faults at random moments, and checks limited to a client's knowledge."""
