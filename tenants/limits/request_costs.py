"""Costs of requests, in units of the rate of the caller.

A view of the API declares `request_costs = {"search": SEARCH, …}` beside its `permissions`, by action or method; a page
of the console is marked with `@costs(…)`. What is not declared has the cost of its action or method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

NOTHING: Final = 0
READ: Final = 1
LIST: Final = 2
WRITE: Final = 2
SEARCH: Final = 5
# Exports, what-ifs and checks.
HEAVY: Final = 20

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_CHANGELIST: Final = "_changelist"


def costs[View: Callable[..., Any]](units: int) -> Callable[[View], View]:
    """Return a decorator that declares the cost of a page of the console."""

    def declare(view: View) -> View:
        view.request_cost = units  # type: ignore[attr-defined]
        return view

    return declare


def cost_of(view: Callable[..., Any], method: str, url_name: str = "") -> int:
    """Return the cost of a request to a view: what it declares, else 2 for a list or a change, else 1."""
    method = "GET" if method == "HEAD" else method
    declared_cost = getattr(view, "request_cost", None)
    if declared_cost is not None:
        return int(declared_cost)
    declared: Mapping[str, int] = getattr(getattr(view, "cls", None), "request_costs", {})
    action: str = (getattr(view, "actions", None) or {}).get(method.lower(), "")
    if action in declared or method in declared:
        return declared.get(action, declared.get(method, READ))
    if method not in _READING:
        return WRITE
    return LIST if action == "list" or url_name.endswith(_CHANGELIST) else READ
