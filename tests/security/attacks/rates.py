"""Attacks by volume and cost: request rates, streams, templates, queries."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
