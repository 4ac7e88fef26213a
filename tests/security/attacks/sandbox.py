"""Attacks from inside the extraction child, and on what is deployed."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
