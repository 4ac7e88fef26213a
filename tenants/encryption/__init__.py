"""Encryption at rest: a data key of the tenant encrypts each value, and a master key encrypts that key (ADR 0028)."""
