"""The table of attacks: one row per attack, with what is sent, the expected refusal and its code.

Each module of `tests.security.attacks` holds the rows of one area. `test_attacks.py` runs every row: a row performs its
attack in a fresh world and returns the refusal that it observed, which must equal the expected one. A row returns what
really came back ("201 created" instead of "403 permission_denied"), so that a failure names what got in.
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
    """One attack: a name with its subject first, what is sent, the refusal expected, and the code that performs it.

    `refusal` is an HTTP status and problem code ("403 permission_denied"), the name of an error, or the state that
    remains ("0 rows deleted"). `committed` is True if the attack needs committed rows (other connections, threads or
    processes look at them).
    """

    name: str
    sends: str
    refusal: str
    run: Callable[[World], str]
    committed: bool = False


def attacks() -> list[Attack]:
    """Return the rows of all areas, in the order of `AREAS`."""
    return [row for area in AREAS for row in import_module(f"tests.security.attacks.{area}").ATTACKS]
