"""Every attack of the table is refused with the code in its row."""

from __future__ import annotations

import pytest

from tests.security.table import Attack, attacks
from tests.security.world import World


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(row, id=row.name.replace(" ", "_"), marks=pytest.mark.django_db(transaction=row.committed))
        for row in attacks()
    ],
)
def test_attack_is_refused(attack: Attack) -> None:
    assert attack.run(World()) == attack.refusal


def test_names_of_attacks_are_unique() -> None:
    names = [row.name for row in attacks()]
    assert len(names) == len(set(names))
