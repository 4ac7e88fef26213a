"""Attacks on the audit log with the login of the application."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
