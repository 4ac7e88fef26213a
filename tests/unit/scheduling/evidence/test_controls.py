"""Templates of compliance reports: their sections exist, and the documentation maps each control."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobsplatform.settings.env import BASE_DIR
from scheduling.evidence.controls import TEMPLATES, Control
from scheduling.evidence.sections import ALWAYS, BY_NAME, SECTIONS, Section

PAGE = (BASE_DIR / "docs" / "compliance.md").read_text()
CONTROLS = [control for template in TEMPLATES.values() for control in template.controls]
STATES = {"whole", "partly", "outside"}


def rows() -> dict[str, list[str]]:
    """Return the cells of the page's rows by control."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line[:2] == "| "]
    return {cells[0]: cells[1:] for cells in found if cells[0] != "control"}


def test_page_has_each_control_once() -> None:
    assert list(rows()) == [control.id for control in CONTROLS]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.id)
def test_row_of_control_states_what_is_missing_and_names_files_that_exist(control: Control) -> None:
    state, enforced, tested, missing = rows()[control.id]
    paths = [path for cell in (enforced, tested) for path in re.findall(r"`([a-z_]+/[\w/.]*)`", cell)]
    assert state in STATES
    assert (state == "outside") == (not enforced) == (not control.sections)
    assert state != "partly" or missing
    assert [path for path in paths if not (BASE_DIR / path).exists()] == []


def test_control_without_sections_has_a_note() -> None:
    assert all(control.note for control in CONTROLS if not control.sections)


def test_sections_of_controls_exist_and_each_section_is_used() -> None:
    used = {name for control in CONTROLS for name in control.sections}
    assert used <= set(BY_NAME)
    assert set(BY_NAME) - used <= set(ALWAYS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_section_has_one_source(section: Section) -> None:
    is_built = section.name in ALWAYS[:2]
    assert [bool(section.actions), bool(section.statement), is_built].count(True) == 1


def test_section_has_entries_of_its_actions_and_actor_kinds() -> None:
    section = Section("s", "S", ("plan.*", "job.payload_revealed"), ("command",))
    assert section.has("plan.updated", "user")
    assert section.has("job.submitted", "command")
    assert not section.has("job.submitted", "user")
    assert not section.has("cfs_plan.updated", "user")


def test_verifier_has_60_lines_and_imports_nothing_of_the_platform() -> None:
    source = (BASE_DIR / "scheduling" / "evidence" / "verify_evidence.py").read_text()
    modules = {line.split()[1].partition(".")[0] for line in source.splitlines() if re.match(r"(from|import) ", line)}
    assert len(source.splitlines()) <= 60
    assert modules <= {
        "__future__",
        "base64",
        "collections",
        "cryptography",
        "hashlib",
        "json",
        "pathlib",
        "sys",
        "typing",
    }


def test_template_of_the_page_has_no_script() -> None:
    page = Path(BASE_DIR / "scheduling/templates/scheduling/evidence.html").read_text()
    assert "<script" not in page
    assert "@media print" in page
