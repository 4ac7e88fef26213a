"""Access table: the console's other routes and acts on ticked rows, for each role, on own and foreign rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import reverse

from tenants.context import all_tenants
from tenants.models import AuditLogEntry
from tests.access import routes, table
from tests.access.routes import CONSOLE_PREFIX, Line, Ticked
from tests.integration.access.test_table import CONSOLE_ROLES, HOLDERS, NamedRows, ask, console_result, console_wants
from tests.integration.access.world import World

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bare_refusals")]


def console_requests(line: Line, rows: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, URL and form of a line of CONSOLE for these rows."""
    url = CONSOLE_PREFIX + line.path.format_map(NamedRows(rows))
    form = {name: filled(value, rows) for name, value in (line.body or {}).items()}
    for method in ("GET", "POST") if line.method == "ANY" else (line.method,):
        yield method, url, form if method == "POST" else {}


def filled(value: str, rows: dict[str, Any]) -> Any:
    """Return the value of a form field: a file, or text with row ids filled in."""
    if value.startswith("@"):
        return SimpleUploadedFile(value[1:], b"two")
    return value.format_map(NamedRows(rows))


@pytest.mark.parametrize("role", CONSOLE_ROLES)
def test_other_console_routes_answer_as_the_access_table_states(world: World, role: str) -> None:
    faults = {}
    for line in routes.lines(table.CONSOLE):
        wanted = console_wants(role, line.right, line.status or "passes")
        for method, url, form in console_requests(line, world.own):
            answer = ask(world.console[role], method, url, form=form)
            if console_result(answer, wanted) != wanted:
                faults[f"{method} {line.path}"] = f"{answer.status_code} in place of {wanted}"
    assert faults == {}


@pytest.mark.parametrize("role", CONSOLE_ROLES)
def test_lists_are_exported_to_holders_of_their_right_only(world: World, role: str) -> None:
    faults = {}
    for page in routes.pages():
        url = reverse(f"admin:{page.label.replace('.', '_')}_export")
        wanted = console_wants(role, table.EXPORTS.get(page.label, page.view))
        answer = ask(world.console[role], "POST", url, form={"format": "csv"})
        if console_result(answer, wanted) != wanted:
            faults[page.label] = f"{answer.status_code} in place of {wanted}"
        if wanted == "passes":
            b"".join(answer.streaming_content)
            assert ask(world.console[role], "GET", url).status_code == 405
    assert faults == {}


@pytest.mark.parametrize("role", ["viewer", "developer", "owner", "outsider"])
def test_other_console_routes_hide_foreign_rows(world: World, role: str) -> None:
    faults = {}
    for line in routes.lines(table.CONSOLE):
        if all(world.own.get(name) == world.foreign.get(name) for name in line.names):
            continue
        for method, url, form in console_requests(line, world.foreign):
            wanted = console_wants(role, line.right, 404)
            answer = ask(world.console[role], method, url, form=form)
            if console_result(answer, wanted) != wanted:
                faults[f"{method} {line.path}"] = f"{answer.status_code} in place of {wanted}"
    assert faults == {}


def test_form_that_names_a_foreign_row_is_refused(world: World) -> None:
    for line in routes.lines(table.CONSOLE):
        rows = [value for value in (line.body or {}).values() if value.startswith("{") and not value.startswith("{{")]
        for method, url, form in console_requests(line, world.foreign) if rows else ():
            answer = ask(world.console["owner"], method, url, form=form)
            assert answer.context is not None, (line, answer.status_code)
            assert (answer.status_code in (200, 422), bool(answer.context["form"].errors)) == (True, True), line


def test_console_methods_missing_from_the_table_are_refused(world: World) -> None:
    stated: dict[str, set[str]] = {}
    for line in routes.lines(table.CONSOLE):
        stated.setdefault(line.path, set()).add(line.method)
    faults = {}
    for path, methods in stated.items():
        for method in {"GET", "POST"} - methods if "ANY" not in methods else ():
            url = CONSOLE_PREFIX + path.format_map(NamedRows(world.own))
            answer = ask(world.console["admin"], method, url)
            if answer.status_code not in (403, 404, 405):
                faults[f"{method} {path}"] = answer.status_code
    assert faults == {}


@pytest.mark.parametrize("role", CONSOLE_ROLES)
def test_ticked_rows_are_changed_only_by_holders_of_the_right(world: World, role: str) -> None:
    for act in routes.ticked_acts():
        view = next(page.view for page in routes.pages() if page.label == act.label)
        wanted = console_wants(role, view)
        answer, entries = tick(world.console[role], act, world.own)
        assert console_result(answer, wanted) == wanted, act
        assert bool(entries) == (role in HOLDERS[act.right]), (act, entries)


@pytest.mark.parametrize("role", ["viewer", "developer", "owner", "outsider"])
def test_ticked_foreign_rows_stay_unchanged(world: World, role: str) -> None:
    for act in routes.ticked_acts():
        _, entries = tick(world.console[role], act, world.foreign)
        assert entries == [], act


_TICKED = {"requeue_selected": "letter", "cancel_selected": "waiting", "keep_selected": "access_line"}


def tick(client: Any, act: Ticked, rows: dict[str, Any]) -> tuple[Any, list[str]]:
    """Send the act for a row that it can change; return the answer and its audit entries."""
    key = rows[_TICKED.get(act.name, "job")]
    url = reverse(f"admin:{act.label.replace('.', '_')}_changelist")
    form = {"action": act.name, "_selected_action": [str(key)], "reason": "a trial", "index": "0"}
    with transaction.atomic():
        with all_tenants():
            newest = AuditLogEntry.objects.order_by("-pk").values_list("pk", flat=True)[0]
        answer = client.post(url, form)
        with all_tenants():
            entries = list(AuditLogEntry.objects.filter(pk__gt=newest).values_list("action", flat=True))
        transaction.set_rollback(True)
    return answer, entries
