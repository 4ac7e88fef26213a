"""Encryption at rest: each value is sealed with a data key of its tenant, which a master key wraps (ADR 0028)."""
