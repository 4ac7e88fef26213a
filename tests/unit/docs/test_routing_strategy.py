"""The strategy in docs/how-to/routing.md is that of the example package, and runs without changes."""

from __future__ import annotations

import re
from typing import Any

from jobsplatform.settings.env import BASE_DIR
from scheduling.kit.routing import CandidateQueue, RoutedJob

PAGE = BASE_DIR / "docs" / "how-to" / "routing.md"
EXAMPLE = BASE_DIR / "examples" / "acme_word_count" / "acme_word_count" / "routing.py"


def test_documented_strategy_is_the_examples_and_runs() -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    assert found[1] == EXAMPLE.read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(found[1], str(PAGE), "exec"), names)
    pools = [CandidateQueue("near", "near", live_slots=2), CandidateQueue("large", "large", live_slots=40)]
    choice = names["by_length"](RoutedJob("acme_word_count", "team", "", {"texts": ["x" * 20_000]}), pools)
    assert (choice.queue, choice.reason) == ("large", "20000 characters: the pool with the most slots")
