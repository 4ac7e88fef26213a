"""The counts of upkeep have names that the catalogue translates."""

from __future__ import annotations

import pytest

from scheduling.console.code_names import NAMES, WORDS, count_words
from scheduling.upkeep import registry
from scheduling.upkeep.registry import UpkeepBudget

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("name", [task.name for task in registry.tasks()])
def test_every_count_of_a_task_has_a_name(name: str) -> None:
    step = registry.get(name).step(UpkeepBudget(batch_rows=10, seconds=1.0))
    assert [code for code in step.counts if code not in NAMES and code.replace("_", " ") not in WORDS] == []


def test_codes_are_shown_by_their_names_and_unknown_ones_by_their_words() -> None:
    assert count_words({"heads": 2, "dead_letters": 1_200, "of_a_plug_in": 3, "jobs": 0}) == (
        "signed heads 2, dead letters 1,200, of a plug in 3"
    )
