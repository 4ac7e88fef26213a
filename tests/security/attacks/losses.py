"""Ways to lose work in silence."""

from __future__ import annotations

from tests.security.table import Attack

ATTACKS: tuple[Attack, ...] = ()
