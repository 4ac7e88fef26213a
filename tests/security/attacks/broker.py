"""Attacks with write access to Redis."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
