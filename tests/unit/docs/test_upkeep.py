"""The page on upkeep lists the existing tasks and their intervals."""

from __future__ import annotations

import re
from datetime import timedelta

from jobsplatform.settings.env import BASE_DIR
from scheduling.upkeep import registry

ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| (every minute|every 15 minutes|hourly|daily) \|", re.MULTILINE)
WORDS = {
    timedelta(minutes=1): "every minute",
    timedelta(minutes=15): "every 15 minutes",
    timedelta(hours=1): "hourly",
    timedelta(days=1): "daily",
}


def test_page_names_exactly_the_existing_tasks_with_their_intervals() -> None:
    page = (BASE_DIR / "docs" / "reference" / "upkeep.md").read_text()
    documented = {name: when for names, when in ROW.findall(page) for name in re.findall(r"\w+", names)}
    assert documented == {task.name: WORDS[task.interval] for task in registry.tasks()}
