"""Files and functions are short, names are specific, nothing is left over."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from jobsplatform.settings.env import BASE_DIR
from tests.syntax import nodes_of, parse
from tools.code_metrics import private_accesses, product_sources

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
# Names without a meaning of their own.
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "misc", "manager", "handler"}
EMPTY_VERBS = ("process", "handle", "manage")
# Names of hooks in Django and the processors' kit.
HOOKS = {"process", "handle", "handle_error", "process_exception", "process_view"}
LEFT_OVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError|except[^\n]*:\n\s+pass\n")

# Files that read a private attribute of a library, and how often. A unit test of each file fails if the library changes
# the attribute: `test_children.py` for Celery, `test_fetching.py` for kombu.
PRIVATE_ACCESSES = {"scheduling/worker/children.py": 1, "scheduling/worker/consumer.py": 1}

SOURCES = sorted(
    path
    for package in ("jobsplatform", "scheduling", "tenants", "workloads", "tools")
    for path in (BASE_DIR / package).rglob("*.py")
    if "migrations" not in path.parts
)


def name_of(path: Path) -> str:
    """Return the path relative to the repository."""
    return str(path.relative_to(BASE_DIR))


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions and methods of a file."""
    for node in nodes_of(parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the function's lines without its docstring."""
    assert function.end_lineno is not None
    length = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        length -= first.end_lineno - first.lineno + 1
    return length


def test_sources_are_found() -> None:
    assert len(SOURCES) > 100


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{function.name}": length_of(function)
        for path in SOURCES
        for function in functions_of(path)
        if length_of(function) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_names_are_specific() -> None:
    empty = [name_of(path) for path in SOURCES if path.stem in EMPTY_NAMES]
    empty += [
        f"{name_of(path)}:{function.name}"
        for path in SOURCES
        for function in functions_of(path)
        if function.name.lstrip("_").startswith(EMPTY_VERBS) and function.name not in HOOKS
    ]
    assert empty == []


def test_sources_contain_no_leftovers() -> None:
    found = {name_of(path): LEFT_OVER.findall(path.read_text()) for path in SOURCES}
    assert {name: left for name, left in found.items() if left} == {}


def test_private_attributes_of_libraries_are_read_in_two_modules() -> None:
    found = {path: private_accesses(source) for path, source in product_sources(BASE_DIR)}
    assert {path: count for path, count in found.items() if count} == PRIVATE_ACCESSES


def test_every_module_has_a_docstring() -> None:
    silent = [
        name_of(path) for path in SOURCES if path.read_text().strip() and not ast.get_docstring(parse(path.read_text()))
    ]
    assert silent == []


def test_generated_files_are_not_tracked() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=BASE_DIR, capture_output=True, text=True, check=False).stdout
    assert [name for name in tracked.splitlines() if re.search(r"\.pyc$|^var/|^\.venv|\.sqlite3$|^\.env$", name)] == []
