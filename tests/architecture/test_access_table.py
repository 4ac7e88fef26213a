"""The table of routes and rights (tests/access/table.py) is complete and equals the declarations of the code."""

from __future__ import annotations

from django.urls import resolve

from tenants.access.permissions import DEVELOPER_KEY_SCOPES, KEY_PERMISSIONS, PLATFORM_ROLES, TENANT_ROLES, Permission
from tests.access import document, routes, table
from tests.access.routes import API_PREFIX, CONSOLE_PREFIX

PLACES = "tests/access/table.py"


def test_every_api_route_is_in_the_table_with_its_right() -> None:
    stated = {(line.method, routes.route_of(API_PREFIX, line.path)): line.right for line in routes.lines(table.API)}
    declared = {(method, route): right for method, route, right in routes.api_routes()}
    missing = [
        f"{method:<6} {routes.readable(route, API_PREFIX):<37} {right}"
        for (method, route), right in declared.items()
        if (method, route) not in stated
    ]
    assert missing == [], f"Add to API in {PLACES} (name the rows, add a body):\n" + "\n".join(missing)
    gone = [f"{method} {routes.readable(route, API_PREFIX)}" for method, route in stated.keys() - declared.keys()]
    assert gone == [], f"Take out of API in {PLACES}: there is no such route."
    differing = {key: (stated[key], declared[key]) for key in declared if stated[key] != declared[key]}
    assert differing == {}, "The table and the view's `permissions` disagree (stated, declared)."


def test_every_cross_tenant_route_is_in_the_table() -> None:
    stated = {(line.method, routes.route_of(API_PREFIX, line.path)) for line in routes.lines(table.OVER_ALL_TENANTS)}
    assert stated == set(routes.routes_over_all_tenants()), f"Mend OVER_ALL_TENANTS in {PLACES}."


def test_every_console_page_is_in_the_table_with_its_rights() -> None:
    stated = {page.label: page for page in routes.pages()}
    declared = routes.declared_pages()
    missing = [routes.written(declared[label]) for label in sorted(declared.keys() - stated.keys())]
    assert missing == [], f"Add to PAGES in {PLACES}:\n" + "\n".join(missing)
    assert stated.keys() - declared.keys() == set(), f"Take out of PAGES in {PLACES}: there is no such page."
    differing = [
        f"{routes.written(stated[label])}   (stated)\n{routes.written(declared[label])}   (declared)"
        for label in declared
        if stated[label] != declared[label]
    ]
    assert differing == [], "\n".join(differing)


def test_every_other_console_route_is_in_the_table() -> None:
    stated = [(line.method, routes.route_of(CONSOLE_PREFIX, line.path)) for line in routes.lines(table.CONSOLE)]
    assert len(stated) == len(set(stated))
    known = {route for _, route in stated}
    missing = [routes.readable(route, CONSOLE_PREFIX) for route in routes.console_routes() if route not in known]
    assert missing == [], f"Add to CONSOLE in {PLACES} as “METHOD path right [form] [status]”:\n" + "\n".join(missing)
    assert known - set(routes.console_routes()) == set(), f"Take out of CONSOLE in {PLACES}: there is no such route."


def test_every_action_on_selected_rows_is_in_the_table_with_its_right() -> None:
    assert set(routes.ticked_acts()) == routes.declared_ticked_acts(), f"Mend ACTIONS in {PLACES}."


def test_every_route_outside_api_and_console_is_in_the_table() -> None:
    stated = {resolve(line.path).route for line in routes.lines(table.PLAIN)}
    assert stated == set(routes.plain_routes()), f"Mend PLAIN in {PLACES}."


def test_holders_of_every_right_equal_those_of_the_code() -> None:
    of_code = {
        **TENANT_ROLES,
        **PLATFORM_ROLES,
        "key": DEVELOPER_KEY_SCOPES,
        "one_scope": KEY_PERMISSIONS & {Permission.JOBS_VIEW},
    }
    declared = {str(right): {str(role) for role in of_code if right in of_code[role]} for right in Permission}
    assert routes.holders() == declared, f"HOLDERS in {PLACES} and tenants/access/permissions.py disagree."


def test_every_right_in_the_table_exists() -> None:
    known = {*Permission, "anyone", "console"}
    lines = [*routes.lines(table.API), *routes.lines(table.CONSOLE)]
    assert {line.right for line in routes.lines(table.PLAIN)} <= {"anyone", "token"}
    assert {act.right for act in routes.ticked_acts()} <= known
    assert {line.right for line in lines} <= known
    assert len(lines) > 60


def test_documented_table_of_roles_equals_the_code() -> None:
    assert document.PAGE.read_text() == document.written(), "Run: python -m tests.access.document"
