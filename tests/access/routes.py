"""Routes of the server, and the lines of the table about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.contrib import admin
from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from tests.access import table

SAMPLE_ID = "00000000-0000-7000-8000-000000000000"
API_PREFIX, CONSOLE_PREFIX = "/api/v1/", "/admin/"
# Routes that Django creates for each model; a line of PAGES covers all of them.
_PAGE_ROUTES = re.compile(r"_(changelist|add|change|delete|history|act|export)$")
_LINE = re.compile(r"(?P<method>[A-Z]+)\s+(?P<path>\S+)\s+(?P<right>\S+)\s*(?P<body>\{.*\})?\s*(?P<status>\d{3})?$")


@dataclass(frozen=True, slots=True)
class Line:
    """Route with its right, the body to send, and the status with the right."""

    method: str
    path: str
    right: str
    body: Any = None
    status: int | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the rows in the path."""
        return re.findall(r"\{(\w+)\}", self.path)


@dataclass(frozen=True, slots=True)
class Page:
    """Pages of a model with the rights that they need; None: permitted to no role."""

    label: str
    view: str
    add: str | None
    change: str | None
    acts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ticked:
    """Action on selected rows of a model's list, with its right."""

    label: str
    name: str
    right: str


def holders() -> dict[str, set[str]]:
    """Return the roles that hold each right."""
    rows = [line.split() for line in table.HOLDERS.strip().splitlines()]
    return {right: set(roles) for right, *roles in rows}


def lines(text: str) -> list[Line]:
    found = []
    for row in text.strip().splitlines():
        match = _LINE.match(row.strip())
        assert match, f"not a line of the table: {row}"
        body, status = match["body"], match["status"]
        path = "" if match["path"] == "." else match["path"]
        found.append(
            Line(
                match["method"],
                path,
                match["right"],
                None if body is None else json.loads(body),
                int(status) if status else None,
            )
        )
    return found


def pages() -> list[Page]:
    found = []
    for row in table.PAGES.strip().splitlines():
        label, view, add, change, *acts = row.split()
        named = dict(act.split(":") for act in acts)
        found.append(Page(label, view, None if add == "-" else add, None if change == "-" else change, named))
    return found


def ticked_acts() -> list[Ticked]:
    return [Ticked(*row.split()) for row in table.ACTIONS.strip().splitlines()]


def walk(patterns: Any = None, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Yield every route of the server in Django's notation, with its pattern."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        part = str(pattern.pattern)
        route = prefix + (part.removeprefix("^") if prefix else part)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, route)
        else:
            yield route, pattern


def api_routes() -> Iterator[tuple[str, str, str]]:
    """Yield method, route and declared right of everything under /api/v1/."""
    for route, pattern in walk():
        if not route.startswith(API_PREFIX[1:]):
            continue
        actions = getattr(pattern.callback, "actions", None) or {"get": "get"}
        declared = getattr(getattr(pattern.callback, "cls", None), "permissions", {})
        # HEAD is GET without a body.
        for method, action in ((method, action) for method, action in actions.items() if method != "head"):
            yield method.upper(), route, str(declared.get(action, declared.get(method.upper(), "anyone")))


def routes_over_all_tenants() -> Iterator[tuple[str, str]]:
    """Yield method and route of changes that platform staff may make without naming a tenant."""
    for route, pattern in walk():
        declared = getattr(getattr(pattern.callback, "cls", None), "over_all_tenants", frozenset())
        for method, action in (getattr(pattern.callback, "actions", None) or {}).items():
            if action in declared and method != "head":
                yield method.upper(), route


def console_routes() -> Iterator[str]:
    """Yield the console's routes, except models' usual pages and Django's redirects and catch-all."""
    for route, pattern in walk():
        if not route.startswith(CONSOLE_PREFIX[1:]) or pattern.name is None:
            continue
        app_and_model = pattern.name.rpartition("_")[0]
        is_page = _PAGE_ROUTES.search(pattern.name) and app_and_model in _page_names()
        if not is_page:
            yield route


def plain_routes() -> Iterator[str]:
    """Yield the routes outside the API and the console."""
    for route, _pattern in walk():
        if not route.startswith((API_PREFIX[1:], CONSOLE_PREFIX[1:])):
            yield route


def route_of(prefix: str, path: str) -> str:
    """Return the route that serves a path of the table."""
    return resolve(prefix + re.sub(r"\{\w+\}", SAMPLE_ID, path)).route


def readable(route: str, prefix: str) -> str:
    """Return a route in the notation of the table, with its parameters in braces."""
    path = simplify_regex(route).removeprefix(prefix)
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", path) or "."


def declared_pages() -> dict[str, Page]:
    """Return the rights that the console's classes declare."""
    return {
        model._meta.label_lower: Page(
            model._meta.label_lower,
            str(page.view_permission),
            page.add_permission and str(page.add_permission),
            page.change_permission and str(page.change_permission),
            {name: str(getattr(type(page), name).post_action.permission) for name in page.post_actions},
        )
        for model, page in admin.site._registry.items()
    }


def declared_ticked_acts() -> set[Ticked]:
    """Return the actions on selected rows that the console's lists declare."""
    return {
        Ticked(model._meta.label_lower, name, str(right))
        for model, page in admin.site._registry.items()
        for name, right in page.action_permissions.items()
    }


def written(page: Page) -> str:
    """Return a page as a line of PAGES."""
    acts = " ".join(f"{name}:{right}" for name, right in page.acts.items())
    return f"{page.label:<34} {page.view:<15} {page.add or '-':<16} {page.change or '-':<16} {acts}".rstrip()


def _page_names() -> set[str]:
    return {f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry}
