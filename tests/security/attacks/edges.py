"""Attacks on availability: patterns, request lines, bodies, uploads."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
