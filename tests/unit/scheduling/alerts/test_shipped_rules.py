"""The rules that are shipped: each has a section in the runbook, a measure, and is of use."""

from __future__ import annotations

import re

import pytest

from jobsplatform.settings.env import BASE_DIR
from scheduling.alerts.measures import measures
from scheduling.migrations._alert_seeds import (
    ANOMALY_RULES,
    BACKUP_RULES,
    EFFECT_RULES,
    IDENTITY_RULES,
    LOAD_RULES,
    RULES,
)

RUNBOOK = (BASE_DIR / "docs" / "alerting.md").read_text().partition("\n## Runbook\n")[2].partition("\n## ")[0]
HEADINGS = re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE)
SHIPPED = {**RULES, **ANOMALY_RULES, **LOAD_RULES, **BACKUP_RULES, **EFFECT_RULES, **IDENTITY_RULES}
ANCHORS = {heading.lower().replace(" ", "-") for heading in HEADINGS}


@pytest.mark.parametrize("origin", SHIPPED)
def test_rule_has_a_measure_of_its_objects_and_a_section_in_the_runbook(origin: str) -> None:
    _, measure, per, _, _, _, others = SHIPPED[origin]
    assert per in measures()[measure].per
    assert set(others.get("inhibits", ())) <= measures().keys()
    assert origin.replace("_", "-") in ANCHORS


def test_runbook_describes_shipped_rules_only() -> None:
    assert {origin.replace("_", "-") for origin in SHIPPED} == ANCHORS
