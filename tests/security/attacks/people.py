"""Attacks on identity: invitations, keys, scopes, log-in."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
