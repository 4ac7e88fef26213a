"""The cross-tenant functions of the code equal those on the list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.cross_tenant_functions import EXPECTED
from tests.named_sql import sql_sources
from tests.syntax import parse

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tenants", "scheduling", "workloads", "jobsplatform")
DOORS = frozenset({"all_tenants", "query_cross_tenant", "cross_tenant_migration", "scope_context"})


def doors_in(source: str) -> set[str]:
    """Return the functions of a module that call a cross-tenant function; imports and comments do not count."""
    return set(_walk(parse(source), ()))


def _walk(node: ast.AST, within: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        within = (*within, node.name)
    if isinstance(node, ast.Call) and (getattr(node.func, "id", None) or getattr(node.func, "attr", None)) in DOORS:
        yield ".".join(within)
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, within)


def sources() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()


def find_doors() -> dict[str, set[str]]:
    return {path: doors for path, source in sources() if (doors := doors_in(source))}


def test_doors_of_the_code_equal_the_list():
    assert find_doors() == {path: functions for path, (functions, _) in EXPECTED.items()}


def test_every_door_has_its_reason():
    assert [path for path, (_, reason) in EXPECTED.items() if len(reason) < 20] == []


def test_role_and_tenant_are_set_by_guarded_modules_only():
    by_hand = re.compile(r"set\s+(local\s+|session\s+)?role\b|set_config\(\s*'(role|app\.tenant_id)'", re.IGNORECASE)
    guarded = {"tenants/context.py", "tenants/database/rls.py"}
    assert {path for path, source in sources() if by_hand.search(without_prose(source))} <= guarded
    assert [path for path, text in sql_sources() if by_hand.search(text)] == []


@cache
def without_prose(source: str) -> str:
    """Return the module without its comments and docstrings, which may mention roles."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
        ):
            body[0].value.value = ""
    return ast.unparse(tree)


@pytest.mark.parametrize(
    ("source", "doors"),
    [
        ("with all_tenants():\n    pass", {""}),
        ("def f():\n    with context.all_tenants(), x():\n        pass", {"f"}),
        ("class A:\n    async def f(self):\n        all_tenants().__enter__()", {"A.f"}),
        ('"""all_tenants()"""\nfrom tenants.context import all_tenants  # all_tenants()', set()),
    ],
)
def test_door_is_found_in_every_spelling(source, doors):
    assert doors_in(source) == doors
