"""Every route, page and command that can change something has a line in the table of audit entries.

The entries themselves are tested with a database: tests/integration/tenants/audit/test_coverage.py.
"""

from __future__ import annotations

import re

from django.contrib import admin
from django.core.management import get_commands

from jobsplatform.settings.env import BASE_DIR
from tests import audit_table
from tests.access import routes, table

_NAMED = re.compile(r"manage\.py ([a-z][a-z_]+)")
WHERE = "tests/audit_table.py"
HOW = "“address <action> <target type>” with the audit entry that it leaves, or to NO_ACTS with the reason why none"


def addresses(text: str, words: int) -> set[str]:
    return {" ".join(row.split()[:words]) for row in text.strip().splitlines()}


def without_line(found: set[str], text: str, words: int) -> list[str]:
    return sorted(found - addresses(text, words) - set(audit_table.NO_ACTS))


def test_every_changing_api_route_is_in_the_table() -> None:
    found = {f"{line.method} {line.path}" for line in routes.lines(table.API) if line.method != "GET"}
    assert len(found) > 30
    assert without_line(found, audit_table.API, 2) == [], f"Add to API in {WHERE}: {HOW}."


def test_every_form_and_action_of_every_page_is_in_the_table() -> None:
    found = set()
    for page in routes.pages():
        forms = (("add", page.add), ("change", page.change))
        found |= {f"{page.label} {name}" for name, right in forms if right is not None}
        found |= {f"{page.label} {act}" for act in page.acts}
    assert without_line(found, audit_table.PAGES, 2) == [], f"Add to PAGES in {WHERE}: {HOW}."


def test_every_action_on_selected_rows_is_in_the_table() -> None:
    pages = admin.site._registry.items()
    found = {f"{model._meta.label_lower} {name}" for model, page in pages for name in page.actions or ()}
    assert without_line(found, audit_table.ACTIONS, 2) == [], f"Add to ACTIONS in {WHERE}: {HOW}."


def test_every_command_is_in_the_table() -> None:
    # The environment that make creates contains other packages' commands.
    files = [
        path
        for app in ("scheduling", "tenants", "workloads")
        for path in (BASE_DIR / app).rglob("management/commands/*.py")
    ]
    found = {path.stem for path in files if path.stem != "__init__"}
    assert len(found) > 20
    assert without_line(found, audit_table.COMMANDS, 1) == [], f"Add to COMMANDS in {WHERE}: {HOW}."


def test_every_documented_command_is_in_the_table() -> None:
    # Commands of Django and of packages too, because readers of the documents run them.
    files = [*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").rglob("*.md"), *(BASE_DIR / "deploy").rglob("*.y*ml")]
    found = {name for path in files for name in _NAMED.findall(path.read_text())}
    assert {"migrate", "create_platform_admin"} <= found
    assert without_line(found, audit_table.COMMANDS, 1) == [], f"Add to COMMANDS in {WHERE}: {HOW}."


def test_unaudited_commands_of_packages_are_replaced() -> None:
    replaced = {path.stem for path in (BASE_DIR / "jobsplatform/management/commands").glob("[!_]*.py")}
    commands = get_commands()
    assert {commands[name] for name in replaced} == {"jobsplatform"}
    acts = {name for name, app in commands.items() if app in {"django.contrib.auth", "axes"}}
    assert acts == {"axes_list_attempts", "axes_reset_failure_logs", "axes_reset_logs"}, (
        "who changes an account, or a lock?"
    )


def test_missing_line_is_found() -> None:
    assert without_line({"POST made/up/"}, audit_table.API, 2) == ["POST made/up/"]
