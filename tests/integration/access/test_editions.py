"""Editions: each route that edits a row accepts only the edition that was read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from tenants.api.editions import EDITING_METHODS
from tests.access import routes, table
from tests.access.routes import API_PREFIX, Line
from tests.integration.access.test_table import NamedRows
from tests.integration.access.world import World
from tests.integration.tenants.audit.audited_actions import PREPARE

pytestmark = pytest.mark.django_db

# Routes that edit rows without editions, each with its reason: none.
WITHOUT: dict[str, str] = {}
EDITS = [line for line in routes.lines(table.API) if line.method in EDITING_METHODS]
MALFORMED = ("another", '"a', "", '"a" "b"', ",".join(f'"{n}"' for n in range(99)), '"\N{ARABIC-INDIC DIGIT THREE}"')
# A successful edit needs a role with the right, and an existing row.
ROLE = "admin"


def name_of(line: Line) -> str:
    return f"{line.method} {line.path}"


def edit(world: World, line: Line, **headers: str) -> Any:
    """Send one edit and roll its changes back."""
    url = API_PREFIX + line.path.format_map(NamedRows(world.own))
    with transaction.atomic():
        body = {} if line.body is None else {"data": line.body, "format": "json"}
        answer = getattr(world.api[ROLE], line.method.lower())(url, headers=headers, **body)
        transaction.set_rollback(True)
    return answer


def read(world: World, line: Line) -> Any:
    return world.api[ROLE].get(API_PREFIX + line.path.format_map(NamedRows(world.own)))


def test_access_table_has_edits() -> None:
    assert len(EDITS) >= 9
    assert set(WITHOUT) <= {name_of(line) for line in EDITS}


@contextmanager
def world_for(world: World, line: Line) -> Iterator[World]:
    """Yield the world for the test of one line, and roll its changes back: to make a world takes longer."""
    with transaction.atomic():
        try:
            yield replace(world, own=dict(world.own))
        except AssertionError as error:
            error.add_note(name_of(line))
            raise
        transaction.set_rollback(True)


def test_edit_succeeds_only_with_the_current_edition(world: World) -> None:
    for line in EDITS:
        if name_of(line) not in WITHOUT:
            with world_for(world, line) as own_world:
                check_that_only_the_current_edition_is_edited(own_world, line)


def prepare(world: World, line: Line) -> None:
    """Make the row of an edit; the preparations are in tests/integration/tenants/audit/audited_actions.py."""
    made = PREPARE.get(name_of(line), lambda world: None)(world)
    if made is not None:
        world.own[line.names[0]] = made


def check_that_only_the_current_edition_is_edited(world: World, line: Line) -> None:
    prepare(world, line)
    shown = read(world, line)
    tag = shown.headers.get("ETag")
    assert tag, f"GET {line.path} has no ETag"
    assert read(world, line).headers["ETag"] == tag, "an edition stays without an edit"
    stale = edit(world, line, **{"If-Match": '"another"'})
    assert (stale.status_code, stale["Content-Type"]) == (412, "application/problem+json"), stale.content
    assert stale.json()["code"] in {"stale", "settings_stale", "schedule_stale"}
    assert stale.headers["ETag"] == tag, "a refusal tells what it would take"
    for wrong in MALFORMED:
        malformed = edit(world, line, **{"If-Match": wrong})
        assert (malformed.status_code, malformed.json()["code"]) == (400, "if_match_invalid"), wrong
    for right in (tag, f"W/{tag}", f'"another", {tag}', "*", None):
        headers = {} if right is None else {"If-Match": right}
        assert 200 <= edit(world, line, **headers).status_code < 300, (right, edit(world, line, **headers).content)


def test_edit_changes_the_edition(world: World) -> None:
    for line in EDITS:
        if line.method == "PATCH":
            with world_for(world, line) as own_world:
                check_that_an_edit_changes_the_edition(own_world, line)


def check_that_an_edit_changes_the_edition(world: World, line: Line) -> None:
    prepare(world, line)
    before = read(world, line).headers["ETag"]
    url = API_PREFIX + line.path.format_map(NamedRows(world.own))
    changed = world.api[ROLE].patch(url, line.body, format="json", headers={"If-Match": before})
    assert changed.status_code == 200, changed.content
    after = read(world, line).headers["ETag"]
    assert changed.headers["ETag"] == after != before
    again = world.api[ROLE].patch(url, line.body, format="json", headers={"If-Match": before})
    assert (again.status_code, again.headers["ETag"]) == (412, after)


def test_schema_documents_if_match_for_edits(world: World) -> None:
    document = (
        world.api[ROLE].get(f"{API_PREFIX}schema/", headers={"Accept": "application/vnd.oai.openapi+json"}).json()
    )
    silent = [
        f"{method} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method.upper() in EDITING_METHODS
        and "If-Match" not in {parameter["name"] for parameter in operation["parameters"]}
    ]
    assert silent == []
