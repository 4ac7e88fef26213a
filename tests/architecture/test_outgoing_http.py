"""Only `scheduling.kit.http` makes outbound HTTP requests, and regular expressions are constants of the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from tests.syntax import nodes_of, parse

SPEAKERS = {"urllib.request", "http.client", "ftplib", "smtplib", "telnetlib", "xmlrpc.client", "poplib", "imaplib"}
CALLS = {"create_connection", "urlopen", "urlretrieve"}
# Modules that use it for another reason, and never with a host from outside.
ALLOWED = {
    "scheduling/management/commands/run_platform.py",  # probes the readiness of its own web process
    "workloads/mail/sending.py",  # names the errors of the platform's own mail server
}
PATTERN_FUNCTIONS = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in ("jobsplatform", "scheduling", "tenants", "workloads"):
        for path in sorted((BASE_DIR / package).rglob("*.py")):
            yield str(path.relative_to(BASE_DIR)), parse(path.read_text())


def http_uses_in(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & SPEAKERS
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} & SPEAKERS
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in CALLS
            and ast.unparse(node.func.value) != "connections"  # Django's, of a database
        ):
            found.add(node.func.attr)
    return found


def test_http_of_the_standard_library_is_used_by_listed_modules_only() -> None:
    found = {name: speakers for name, tree in sources() if (speakers := http_uses_in(tree))}
    assert found.keys() == ALLOWED, "Use scheduling.kit.http."


def test_use_of_http_is_found() -> None:
    for line in ("import urllib.request", "from urllib import request", "from http.client import HTTPConnection"):
        assert http_uses_in(parse(line))
    assert http_uses_in(parse("socket.create_connection(('a', 80))")) == {"create_connection"}


def loose_patterns_in(tree: ast.Module) -> list[int]:
    """Return the lines on which a pattern is built from anything but constants of the source."""
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }

    looped: set[str] = set()

    def is_fixed(node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Name):
            return node.id in constants | looped
        if isinstance(node, ast.Attribute):
            return node.attr == "pattern" and is_fixed(node.value)
        if isinstance(node, ast.Tuple):
            return all(is_fixed(part) for part in node.elts)
        if isinstance(node, ast.JoinedStr):
            return all(is_fixed(part.value) for part in node.values if isinstance(part, ast.FormattedValue))
        if isinstance(node, ast.BinOp):
            return is_fixed(node.left) and is_fixed(node.right)
        return False

    # A variable that loops over a tuple of constants is one of them.
    looped |= {
        node.target.id
        for node in nodes_of(tree)
        if isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name) and is_fixed(node.iter)
    }
    return [
        node.lineno
        for node in nodes_of(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in PATTERN_FUNCTIONS
        and not is_fixed(node.args[0])
    ]


def test_regular_expressions_are_constants() -> None:
    assert {name: lines for name, tree in sources() if (lines := loose_patterns_in(tree))} == {}


def test_queries_contain_no_regular_expression() -> None:
    found = [
        str(path.relative_to(BASE_DIR))
        for package in ("scheduling", "tenants", "workloads")
        for path in Path(BASE_DIR / package).rglob("*.py")
        if "migrations" not in path.parts
        and re.search(r"__i?regex\b|\bSIMILAR TO\b|\s~\*?\s%s|regexp_", path.read_text())
    ]
    assert found == []


def test_pattern_that_is_not_constant_is_found() -> None:
    assert loose_patterns_in(parse("import re\nre.compile(request.GET['q'])")) == [2]
    assert loose_patterns_in(parse("import re\nA = 'x'\nre.match(f'{A}+', text)")) == []
