"""The page on consistency checks names every code and the check of every upkeep task."""

from __future__ import annotations

from jobsplatform.settings.env import BASE_DIR
from scheduling.consistency.registry import NEVER, fault_kinds, state_checks

PAGE = (BASE_DIR / "docs" / "reference" / "consistency.md").read_text()


def test_page_names_every_code_of_a_fault() -> None:
    assert [code for code in fault_kinds() if f"`{code}`" not in PAGE] == []


def test_page_names_every_check_with_its_own_interval() -> None:
    own = [check.name for check in state_checks() if check.interval is not None]
    assert [name for name in own if f"`{name}`" not in PAGE] == []
    assert {check.name for check in state_checks() if check.interval == NEVER} == {"content_files", "erasures"}
