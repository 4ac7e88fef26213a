"""Audit log: entries, chains, seals, signed heads, verification."""
