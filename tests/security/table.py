"""Table of attacks: one row per attack, with its input, the expected refusal and its code.

Each module of `tests.security.attacks` has the rows of one area. `test_attacks.py` runs every row: a row runs its
attack in a fresh world and returns the refusal, which must equal the expected one. A row returns what it received ("201
created" instead of "403 permission_denied"), so that a failure shows what succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from tests.security.world import World

AREAS = (
    "edges",
    "bodies",
    "rates",
    "audit",
    "broker",
    "secrets",
    "people",
    "sandbox",
    "losses",
)


@dataclass(frozen=True, slots=True)
class Attack:
    """Attack: a name with its subject first, its input, the expected refusal, and the code that runs it.

    `refusal` is an HTTP status and problem code ("403 permission_denied"), the name of an error, or the remaining state
    ("0 rows deleted"). `committed` is True if the attack needs committed rows (for other connections, threads or
    processes).
    """

    name: str
    sends: str
    refusal: str
    run: Callable[[World], str]
    committed: bool = False


def attacks() -> list[Attack]:
    """Return the rows of all areas, in the order of `AREAS`."""
    return [row for area in AREAS for row in import_module(f"tests.security.attacks.{area}").ATTACKS]
