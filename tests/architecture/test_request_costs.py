"""The table of routes and costs (tests/access/costs.py) is complete and equals the costs in the code."""

from __future__ import annotations

from collections.abc import Iterator

from django.urls import URLPattern

from tenants.limits.declared import HEAVY, READ, WRITE, cost_of
from tests.access import costs
from tests.access.routes import API_PREFIX, CONSOLE_PREFIX, readable, walk

PLACE = "tests/access/costs.py"


def api_costs() -> Iterator[tuple[str, str, int]]:
    for route, pattern in walk():
        if route.startswith(API_PREFIX[1:]):
            path = readable(route, API_PREFIX).removeprefix(API_PREFIX[1:])
            for method in getattr(pattern.callback, "actions", None) or {"get": "get"}:
                if method != "head":
                    yield method.upper(), path, cost_of(pattern.callback, method.upper(), pattern.name or "")


def test_every_api_route_is_in_the_table_with_its_cost() -> None:
    stated = {
        (method, path): int(cost) for method, path, cost in (line.split() for line in costs.API.strip().splitlines())
    }
    charged = {(method, path): cost for method, path, cost in api_costs()}
    missing = [f"{method:<7}{path:<60}{charged[method, path]}" for method, path in charged.keys() - stated.keys()]
    assert missing == [], f"Add to API in {PLACE}, if that is what they shall cost:\n" + "\n".join(missing)
    assert stated.keys() - charged.keys() == set(), f"Take out of API in {PLACE}: there is no such route."
    differing = {key: (stated[key], charged[key]) for key in charged if stated[key] != charged[key]}
    assert differing == {}, "The table and the view's `request_costs` disagree (stated, charged)."


def test_every_expensive_console_page_is_in_the_table_with_its_cost() -> None:
    stated = {path: int(cost) for path, cost in (line.split() for line in costs.CONSOLE.strip().splitlines())}
    charged = {
        readable(route, "/"): cost_of(pattern.callback, "GET")
        for route, pattern in walk()
        if route.startswith(CONSOLE_PREFIX[1:]) and cost_of(pattern.callback, "GET") != READ and not _is_export(pattern)
    }
    assert charged == stated, f"Mend CONSOLE in {PLACE}."


def _is_export(pattern: URLPattern) -> bool:
    return (pattern.name or "").endswith("_export")


def test_every_export_of_a_console_list_is_expensive() -> None:
    found = {cost_of(pattern.callback, "POST") for _, pattern in walk() if _is_export(pattern)}
    assert found == {HEAVY}


def test_only_submissions_cost_nothing() -> None:
    assert {(method, path) for method, path, cost in api_costs() if cost == 0} == {
        ("POST", "jobs/"),
        ("POST", "jobs/bulk/"),
    }


def test_default_cost_follows_from_method_and_page() -> None:
    def view() -> None: ...

    assert [cost_of(view, method) for method in ("GET", "HEAD", "OPTIONS", "POST", "PATCH", "DELETE")] == [
        *[READ] * 3,
        *[WRITE] * 3,
    ]
    assert cost_of(view, "GET", "scheduling_job_changelist") == 2
