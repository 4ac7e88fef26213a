"""The page on upkeep names the tasks that there are, at the intervals at which they run."""

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


def test_the_page_names_exactly_the_tasks_that_there_are_and_when_they_run() -> None:
    page = (BASE_DIR / "docs" / "reference" / "upkeep.md").read_text()
    told = {name: when for names, when in ROW.findall(page) for name in re.findall(r"\w+", names)}
    assert told == {task.name: WORDS[task.interval] for task in registry.tasks()}
