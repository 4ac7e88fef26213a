"""Places in the product that use regular expressions, found in its source.

A place is named `file:name`: the module's constant, function or class that contains the pattern.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR

PACKAGES = ("jobsplatform", "scheduling", "tenants", "workloads")
# Functions whose first argument is a pattern, in any module.
MAKERS = {"re_path", "RegexValidator", "RegexField"}
# Names of class attributes, keyword arguments and keys of JSON schemas that hold a pattern.
HOLDERS = {"lookup_value_regex", "pattern", "patternProperties", "regex"}


def places() -> set[str]:
    """Return the names of all places that make or run a regular expression."""
    return {
        f"{path.relative_to(BASE_DIR)}:{name}"
        for package in PACKAGES
        for path in sorted(Path(BASE_DIR / package).rglob("*.py"))
        if "migrations" not in path.parts
        for name in names_in(ast.parse(path.read_text()))
    }


def names_in(tree: ast.Module) -> Iterator[str]:
    """Yield the module's names that contain a pattern."""
    for statement in tree.body:
        if any(_is_pattern(node) for node in ast.walk(statement)):
            yield _name_of(statement)


def _is_pattern(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            return function.value.id == "re" or function.attr in MAKERS
        return isinstance(function, ast.Name) and function.id in MAKERS
    if isinstance(node, ast.keyword):
        return node.arg in HOLDERS
    if isinstance(node, ast.Dict):
        return any(isinstance(key, ast.Constant) and key.value in HOLDERS for key in node.keys)
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id in HOLDERS for target in targets)


def _name_of(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return statement.name
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    named = [target.id for target in targets if isinstance(target, ast.Name)]
    return named[0] if named else ast.unparse(statement)[:60]
